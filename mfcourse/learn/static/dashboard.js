// Draws the whole table again at each refresh; the button stays, and with it the focus.
const HEADS = ["Lesson", "Exercises", "Quick check", "Done", "Also"];

// A link to a notebook beside this one, where the address of the page is a notebook's.
function link(parent, text, file) {
  const here = /\/(tree|notebooks)\/.*\.ipynb$/.test(location.pathname);
  const node = add(parent, file && here ? "a" : "span", "", text);
  if (node.localName === "a") node.href = encodeURIComponent(file);
}

function render({ model, el }) {
  el.classList.add("mf");
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "Your progress");
  const head = add(el, "div", "mf-head");
  add(head, "p", "mf-title", "Your progress");
  const button = add(head, "button", "", "Refresh");
  button.type = "button";
  button.addEventListener("click", () => model.send({ refresh: true }));
  const level = add(el, "p", "mf-verdict");
  level.setAttribute("role", "status");
  const bar = add(el, "progress", "mf-level");
  bar.setAttribute("aria-label", "XP of this level");
  const next = add(el, "p", "mf-verdict");
  const table = add(el, "table", "mf-lessons");
  const at = add(el, "p", "mf-quiet");
  const notice = add(el, "p", "mf-notice");
  notice.setAttribute("role", "status");

  function draw() {
    const now = model.get("shown");
    const [questions, step, deck] = now.of;
    const gained = now.xp % step;
    level.textContent =
      `Level ${now.level} · ${now.xp} XP, ${step - gained} more to level ` +
      `${now.level + 1} · ${now.streak} ${now.streak === 1 ? "day" : "days"} in a row`;
    bar.max = step;
    bar.value = gained;
    next.replaceChildren();
    add(next, "strong", "", "Next: ");
    link(next, now.next, now.next_file);
    table.replaceChildren();
    add(table, "caption", "mf-hidden", "What is done in each lesson");
    const heads = add(add(table, "thead"), "tr");
    HEADS.forEach((text) => add(heads, "th", "", text).scope = "col");
    const body = add(table, "tbody");
    for (const lesson of now.lessons) {
      const row = add(body, "tr");
      const title = add(row, "th");
      title.scope = "row";
      link(title, `${lesson.number} ${lesson.title.split(":")[0]}`, lesson.file);
      const what = lesson.number === deck ? " cards" : "";
      add(row, "td", "", `${lesson.exercises} of ${lesson.asked}${what}`);
      add(row, "td", "", `${lesson.questions} of ${questions}`);
      const done = Math.floor((2 * lesson.exercises) / lesson.asked) + lesson.questions;
      const cell = add(row, "td", lesson.done ? "mf-good" : "");
      const boxes = "■".repeat(done) + "□".repeat(2 + questions - done);
      add(cell, "span", "mf-boxes", boxes).ariaHidden = "true";
      add(cell, "span", "", lesson.done ? " ✓\u00a0done" : "");
      const also = [lesson.predicted && "predicted", lesson.played && "played"];
      add(row, "td", "mf-quiet", also.filter(Boolean).join(", "));
    }
    at.textContent = `As of ${now.at}. In a terminal: mfcourse progress`;
    notice.textContent = model.get("notice");
  }
  return live(model, ["shown", "notice"], draw);
}

export default { render };
