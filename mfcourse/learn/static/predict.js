// A question, and buttons or a number field; what is chosen is shown in place.
function addButton(parent, click) {
  const button = add(parent, "button");
  button.type = "button";
  button.addEventListener("click", () => {
    if (button.ariaDisabled !== "true") click();
  });
  return button;
}

function addChoices(set, choices, send) {
  const list = add(set, "ul", "mf-choices");
  return choices.map((text, at) => {
    const button = addButton(add(list, "li"), () => send({ at }));
    add(button, "span", "", text);
    return { button, text, sign: add(button, "span", "mf-sign") };
  });
}

function addNumber(set, unit, send) {
  const row = add(set, "p", "mf-row mf-verdict");
  const label = add(row, "label", "mf-row", "Your number ");
  const field = add(label, "input");
  field.type = "number";
  field.step = "any";
  add(label, "span", "", unit);
  const ask = () => {
    if (Number.isFinite(field.valueAsNumber)) send({ value: field.valueAsNumber });
    else field.focus();
  };
  const button = addButton(row, ask);
  button.textContent = "Predict";
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !field.readOnly) ask();
  });
  return { button, field };
}

function render({ model, el }) {
  el.classList.add("mf");
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "Predict");
  add(el, "p", "mf-title", "Predict");
  const set = add(el, "fieldset");
  add(set, "legend", "", model.get("question"));
  const send = (content) => model.send(content);
  const choices = model.get("choices");
  const parts = choices
    ? addChoices(set, choices, send)
    : [addNumber(set, model.get("unit"), send)];
  const said = add(el, "p", "mf-verdict mf-quiet");
  const notice = add(el, "p", "mf-notice");
  for (const node of [said, notice]) node.setAttribute("role", "status");

  function show() {
    const chosen = model.get("chosen");
    const revealed = model.get("revealed");
    for (const { button, text, sign, field } of parts) {
      button.ariaDisabled = revealed ? "true" : null;
      if (field) field.readOnly = revealed;
      if (!sign) continue;
      button.ariaPressed = String(text === chosen);
      sign.textContent = text === chosen ? "your prediction" : "";
    }
    const after = revealed
      ? "The answer is shown; to predict anew, run this cell again."
      : "You may change it until the answer is shown.";
    said.textContent = chosen ? `You predict: ${chosen}. ${after}` : "";
    notice.textContent = model.get("notice");
  }
  const seen = ["change:chosen", "change:revealed", "change:notice"];
  for (const name of seen) model.on(name, show);
  show();
  return () => seen.forEach((name) => model.off(name, show));
}

export default { render };
