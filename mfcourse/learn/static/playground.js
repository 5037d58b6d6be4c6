// Sliders that ask Python for a picture when they stop; one question at a time.
function addControl(rows, [label, kind, texts], moved) {
  const row = add(rows, "label", "mf-control");
  add(row, "span", "", label);
  const input = add(row, kind === "list" ? "select" : "input");
  const value = add(row, "output");
  if (kind === "list") texts.forEach((text) => add(input, "option", "", text));
  else input.type = kind === "box" ? "checkbox" : "range";
  input.max = texts.length - 1;
  const get = () =>
    kind === "box" ? Number(input.checked) : kind === "list" ? input.selectedIndex : Number(input.value);
  const say = () => {
    if (kind !== "range") return;
    value.textContent = texts[get()];
    input.setAttribute("aria-valuetext", texts[get()]);
  };
  const set = (at) => {
    if (kind === "box") input.checked = at === 1;
    else if (kind === "list") input.selectedIndex = at;
    else input.value = at;
    say();
  };
  input.addEventListener("input", say);
  input.addEventListener("change", moved);
  return { get, set };
}

function render({ model, el }) {
  el.classList.add("mf");
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "Playground");
  let asked = String(model.get("at")); // what was sent last
  let waiting = false; // for its picture
  const ask = () => {
    const at = controls.map(({ get }) => get());
    if (waiting || String(at) === asked) return;
    asked = String(at);
    waiting = true;
    el.ariaBusy = "true";
    model.send({ at });
  };
  const head = add(el, "div", "mf-head");
  add(head, "p", "mf-title", "Playground");
  const reset = add(head, "button", "", "Reset");
  reset.type = "button";
  reset.addEventListener("click", () => {
    model.get("controls").forEach(([, , , start], i) => controls[i].set(start));
    ask();
  });
  const rows = add(el, "div", "mf-controls");
  const controls = model.get("controls").map((control) => addControl(rows, control, ask));
  const trouble = add(el, "p", "mf-notice");
  const picture = add(add(el, "div", "mf-picture"), "img");
  const details = add(el, "details");
  add(details, "summary", "", "Figure in words");
  const words = add(details, "pre");
  const notice = add(el, "p", "mf-notice");
  for (const node of [trouble, notice]) node.setAttribute("role", "status");

  function show() {
    trouble.textContent = model.get("trouble");
    notice.textContent = model.get("notice");
    words.textContent = model.get("words");
    picture.alt = model.get("words");
  }
  function draw() {
    URL.revokeObjectURL(picture.src);
    picture.src = URL.createObjectURL(new Blob([model.get("picture")], { type: "image/png" }));
  }
  function move() { // as another view, or .set in Python, did
    const at = model.get("at");
    if (String(at) === asked) return;
    asked = String(at);
    at.forEach((value, i) => controls[i].set(value));
  }
  function done() {
    waiting = false;
    el.ariaBusy = null;
    ask(); // if a slider was moved meanwhile
  }
  const heard = {
    "change:at": move,
    "change:words": show,
    "change:trouble": show,
    "change:notice": show,
    "change:picture": draw,
    "change:drawn": done,
  };
  for (const [name, act] of Object.entries(heard)) model.on(name, act);
  model.get("at").forEach((value, i) => controls[i].set(value));
  show();
  draw();
  return () => {
    for (const [name, act] of Object.entries(heard)) model.off(name, act);
    URL.revokeObjectURL(picture.src);
  };
}

export default { render };
