// Draws the questions once, then marks them in place, so that the focus stays.
const LETTERS = "abcdefgh";

function render({ model, el }) {
  el.classList.add("mf");
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", `Quick check, lesson ${model.get("lesson")}`);
  const head = add(el, "div", "mf-head");
  add(head, "p", "mf-title", "Quick check");
  const score = add(head, "p", "mf-score");
  const asked = model.get("questions").map(([text, choices], question) => {
    const set = add(el, "fieldset");
    add(set, "legend", "", `${question + 1}. ${text}`);
    const list = add(set, "ul", "mf-choices");
    const buttons = choices.map((choice, at) => {
      const button = add(add(list, "li"), "button");
      button.type = "button";
      add(button, "span", "mf-letter", LETTERS[at]);
      add(button, "span", "", choice);
      button.addEventListener("click", () => {
        if (button.ariaDisabled !== "true") model.send({ question, choice: at });
      });
      return { button, sign: add(button, "span", "mf-sign") };
    });
    list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const at = buttons.findIndex(({ button }) => button === event.target);
      if (!step || at < 0) return;
      event.preventDefault();
      buttons[(at + step + buttons.length) % buttons.length].button.focus();
    });
    const verdict = add(set, "p", "mf-verdict");
    verdict.setAttribute("role", "status");
    return { buttons, verdict, said: add(verdict, "strong"), why: add(verdict, "span") };
  });
  const done = add(el, "p", "mf-verdict mf-good");
  done.setAttribute("role", "status");
  const notice = add(el, "p", "mf-notice");
  notice.setAttribute("role", "status");

  function mark() {
    const marks = model.get("marks");
    const right = marks.filter((mark) => mark.right).length;
    score.textContent = `${right}/${marks.length} right`;
    done.textContent = right === marks.length ? "✓ All right: this check is done." : "";
    notice.textContent = model.get("notice");
    asked.forEach(({ buttons, verdict, said, why }, question) => {
      const { tried = [], choice, right, ...words } = marks[question];
      buttons.forEach(({ button, sign }, at) => {
        const good = right && at === choice;
        const state = good ? "mf-good" : "mf-bad";
        sign.className = `mf-sign ${tried.includes(at) ? state : ""}`;
        sign.textContent = !tried.includes(at) ? "" : good ? "✓ right" : "✗ not so";
        button.ariaDisabled = right ? "true" : null;
      });
      said.className = right ? "mf-good" : "mf-bad";
      said.textContent = words.said ?? "";
      why.textContent = words.why ? ` ${words.why}` : "";
    });
  }
  return live(model, ["marks", "notice"], mark);
}

export default { render };
