// One card at a time. Space unfolds it and 1 to 4 grade it; what is typed stays here.
function labelled(parent, text, tag) {
  const label = add(parent, "label", "mf-row");
  add(label, "span", "mf-quiet", text);
  return add(label, tag);
}

function press(parent, look, text, click) {
  const button = add(parent, "button", look, text);
  button.type = "button";
  button.addEventListener("click", click);
  return button;
}

function render({ model, el }) {
  el.classList.add("mf", "mf-practice");
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "Practice");
  const head = add(el, "div", "mf-head");
  add(head, "p", "mf-title", "Practice");
  const counts = add(head, "p");
  const filters = add(el, "div", "mf-row");
  const topic = labelled(filters, "Topic", "select");
  const level = labelled(filters, "Level", "select");
  const card = add(el, "div", "mf-card");
  const kind = add(card, "p", "mf-quiet");
  const question = add(card, "p", "mf-question");
  question.tabIndex = -1;
  const own = add(card, "textarea", "mf-own");
  own.rows = 2;
  own.placeholder = "Say your answer aloud, or type it here. It is not kept.";
  own.setAttribute("aria-label", "Your answer; it is not kept");
  const id = () => model.get("shown").id;
  const unfold = press(card, "mf-main", "Show the answer", () =>
    model.send({ unfold: true, id: id() }),
  );
  add(unfold, "kbd", "", "space").ariaHidden = "true";
  const answer = add(card, "div", "mf-answer");
  answer.tabIndex = -1;
  answer.setAttribute("role", "region");
  answer.setAttribute("aria-label", "Answer");
  const text = add(answer, "p");
  const trap = add(answer, "p");
  const source = add(answer, "p", "mf-quiet");
  const demo = add(answer, "details");
  add(demo, "summary", "", "See it: a program to copy into a cell");
  const code = add(demo, "pre");
  const copy = press(demo, "", "Copy", () => {
    navigator.clipboard?.writeText(code.textContent);
    copied.textContent = navigator.clipboard ? " Copied." : " Select it and copy.";
  });
  const copied = add(demo, "span", "mf-quiet");
  copied.setAttribute("role", "status");
  add(demo, "p", "mf-quiet", "It prints:");
  const prints = add(demo, "pre");
  const ask = add(card, "fieldset");
  add(ask, "legend", "", "How well did you know it?");
  const grades = add(ask, "div", "mf-grades");
  const rest = add(el, "p", "mf-verdict");
  const said = add(el, "p", "mf-hidden"); // the counts, aloud
  const notice = add(el, "p", "mf-notice");
  for (const node of [rest, said, notice]) node.setAttribute("role", "status");

  const choose = () => model.send({ topic: topic.selectedIndex, level: level.selectedIndex });
  topic.addEventListener("change", choose);
  level.addEventListener("change", choose);
  const grade = (name) => model.send({ grade: name, id: id() });
  el.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation(); // JupyterLab would take digits for its cells
    const now = model.get("shown");
    const typing = event.target === own;
    if (typing && event.key === "Escape") unfold.focus();
    if (typing || !now.id || event.target.matches("select, summary")) return;
    const name = now.grades?.[Number(event.key) - 1]?.[0];
    const space = event.key === " " && event.target.localName !== "button";
    if (name) grade(name);
    if (space && !now.answer) unfold.click();
    if (name || space) event.preventDefault();
  });

  let drawn = {};
  function draw() {
    const now = model.get("shown");
    const [due, fresh, learned] = now.counts;
    counts.textContent = `${due} due · ${fresh} new · ${learned} learned`;
    if (!topic.options.length) {
      ["all topics", ...now.topics].forEach((one) => add(topic, "option", "", one));
      ["all levels", ...now.levels].forEach((one) => add(level, "option", "", one));
    }
    topic.selectedIndex = now.topics.indexOf(now.chosen[0]) + 1;
    level.selectedIndex = now.chosen[1];
    const here = card.contains(document.activeElement);
    const next = now.turn !== drawn.turn;
    card.hidden = !now.id;
    rest.textContent = now.rest ?? "";
    if (next) {
      own.value = "";
      copied.textContent = "";
      demo.open = false;
      said.textContent = drawn.id ? counts.textContent : "";
    }
    kind.textContent = now.id ? `${now.topic} · level ${now.level}` : "";
    question.textContent = now.question ?? "";
    const open = Boolean(now.answer);
    unfold.hidden = open;
    answer.hidden = ask.hidden = !open;
    const [told, warned] = (now.answer ?? "").split(" Trap: ");
    text.textContent = told;
    trap.replaceChildren();
    if (warned) add(trap, "strong", "", "Trap: ").after(warned);
    source.textContent = open ? `Source: ${now.source}` : "";
    demo.hidden = !now.demo;
    code.textContent = now.demo ?? "";
    prints.textContent = now.prints ?? "";
    grades.replaceChildren();
    (now.grades ?? []).forEach(([name, when], at) => {
      const button = press(grades, "", "", () => grade(name));
      add(button, "kbd", "", String(at + 1)).ariaHidden = "true";
      add(button, "span", "mf-grade", name);
      add(button, "span", "mf-quiet", when);
      button.setAttribute("aria-keyshortcuts", String(at + 1));
    });
    if (here && open && !drawn.answer) answer.focus();
    if (here && next && now.id) question.focus();
    if (here && !now.id) topic.focus();
    drawn = now;
    notice.textContent = model.get("notice");
  }
  return live(model, ["shown", "notice"], draw);
}

export default { render };
