// The studio draws what Python says (`state`) and tells Python what a person does.
// Rows are kept by id, so that nothing moves away from under a hand or a screen reader.

const QUIET_MS = 400; // a slider at rest, before its stars are sent
const SEARCH_MS = 150;

function el(tag, name = "", text = "") {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.textContent = text;
  return node;
}

function button(words, more, press) {
  const node = el("button", "", words);
  node.type = "button";
  node.append(el("span", "mf-hidden", ` ${more}`));
  node.addEventListener("click", press);
  return node;
}

/* Show rows in a list: new ones are made, old ones updated, the focus stays. */
function fill(list, rows, make, orElse) {
  const active = document.activeElement;
  const focused = list.contains(active) ? active : null;
  const at = [...list.children].findIndex((node) => node.contains(focused));
  const old = new Map([...list.children].map((node) => [node.dataset.id, node]));
  const nodes = rows.map((row) => {
    const node = old.get(row.id) ?? make(row);
    old.delete(row.id);
    node.dataset.id = row.id;
    node.update(row);
    return node;
  });
  for (const node of old.values()) node.remove();
  nodes.forEach((node, place) => {
    if (list.children[place] !== node) list.insertBefore(node, list.children[place]);
  });
  if (!focused || focused === document.activeElement) return;
  const heir = nodes[Math.min(at, nodes.length - 1)]?.querySelector("input, button");
  (focused.isConnected ? focused : heir ?? orElse).focus();
}

function words(stars) {
  return stars ? `${stars} star${stars === 1 ? "" : "s"}` : "not rated";
}

/* Five stars with a range laid over them: a click, a drag, arrows, or the keys 1 to 5. */
function stars(name, send) {
  const box = el("span", "mf-studio-stars");
  const range = el("input");
  const said = el("span", "mf-studio-said");
  Object.assign(range, { type: "range", min: 0, max: 5, step: 0.5, value: 0 });
  range.setAttribute("aria-label", `Stars for ${name}`);
  let timer = null;
  const show = () => {
    const value = Number(range.value);
    box.style.setProperty("--mf-stars", value);
    range.setAttribute("aria-valuetext", words(value));
    said.textContent = words(value);
  };
  const later = () => {
    show();
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      if (Number(range.value)) send(Number(range.value));
    }, QUIET_MS);
  };
  range.addEventListener("input", later);
  range.addEventListener("keydown", (event) => {
    if (!/^[1-5]$/.test(event.key)) return;
    range.value = event.key;
    later();
  });
  box.append(range);
  const update = (value) => {
    range.min = value === null ? 0 : 0.5; // once rated, 0 is for the button
    box.classList.toggle("mf-studio-unrated", value === null);
    if (timer === null) range.value = value ?? 0;
    show();
  };
  return { box, said, range, update };
}

function render({ model, el: root }) {
  root.classList.add("mf", "mf-studio");
  root.setAttribute("role", "region");
  root.setAttribute("aria-label", "Studio");
  root.addEventListener("keydown", (event) => {
    // JupyterLab would take arrows and digits for its cells.
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  });
  const send = (content) => model.send(content);
  let picked = []; // chosen to be rated, without stars yet

  const part = (title, name = "") => {
    const heading = el("p", "mf-title", title);
    const list = el("ul", name);
    heading.id = `mf-${crypto.randomUUID?.() ?? Math.random()}`;
    list.setAttribute("aria-labelledby", heading.id);
    return { heading, list };
  };

  // ---- Search
  const search = el("input", "mf-studio-search");
  Object.assign(search, { type: "search", placeholder: "Title or year" });
  search.autocomplete = "off";
  const label = el("label", "mf-title", "Find a film");
  label.append(search);
  const found = part("", "mf-studio-found");
  const count = el("p", "mf-hidden");
  count.setAttribute("role", "status");
  let timer = null;
  let shown = null; // the text whose films are shown
  let hurry = null; // the text at Enter, when its films had not come yet
  const ask = () => send({ do: "search", text: search.value });
  const first = () => found.list.querySelector("button")?.click();
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, SEARCH_MS);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") clear();
    if (event.key !== "Enter") return;
    if (shown === search.value) first();
    else hurry = search.value;
  });
  function clear() {
    search.value = "";
    clearTimeout(timer);
    ask();
  }

  // ---- Rated films
  const rated = part("Your films", "mf-studio-rated");
  const hint = el("p", "mf-quiet", "None yet. Find a film above and give it stars.");
  const makeRated = ({ id, name }) => {
    const node = el("li");
    const bar = stars(name, (value) => send({ do: "rate", item: id, stars: value }));
    const back = button("Take back", name, () => {
      const mine = picked.some((row) => row.id === id);
      picked = picked.filter((row) => row.id !== id);
      if (!mine || isRated(id)) send({ do: "take back", item: id });
      else draw();
    });
    const note = el("span", "mf-quiet mf-studio-note");
    node.append(el("span", "mf-studio-name", name), back, bar.box, bar.said, note);
    node.range = bar.range;
    node.update = (row) => {
      bar.update(row.stars);
      back.firstChild.data = row.stars === null ? "Cancel" : "Take back";
      note.textContent = row.note ?? "";
    };
    return node;
  };
  const isRated = (id) => model.get("state").rated.some((row) => row.id === id);
  const pick = (row) => {
    if (!isRated(row.id) && !picked.some((other) => other.id === row.id)) {
      picked.unshift({ ...row, stars: null });
    }
    draw();
    [...rated.list.children].find((node) => node.dataset.id === row.id).range.focus();
  };
  const makeFound = (row) => {
    const node = el("li");
    const press = el("button", "", row.name);
    press.type = "button";
    press.addEventListener("click", () => {
      pick(row);
      if (search.value) clear();
    });
    node.append(press);
    node.update = () => {};
    return node;
  };

  // ---- The list, and what is like a film
  const best = part("For you", "mf-studio-list");
  const empty = el("p", "mf-quiet");
  const left = el("p", "mf-quiet mf-studio-left");
  const near = part("", "mf-studio-near"); // opens below the film that was asked for
  const nearby = el("div", "mf-studio-nearby");
  nearby.append(near.heading, near.list);
  let asked = null; // the button that was pressed
  const open = (pressed) => {
    asked?.setAttribute("aria-expanded", false);
    pressed?.setAttribute("aria-expanded", true);
    nearby.remove();
    asked = pressed;
  };

  const makeBest = (row) => {
    const node = el("li");
    const place = el("span", "mf-studio-place");
    const text = el("div");
    const why = el("span", "mf-quiet mf-studio-why");
    text.append(el("span", "mf-studio-name", row.name), why);
    node.append(place, text);
    if (model.get("state").alike) {
      const similar = button("Similar", `to ${row.name}`, () => {
        open(asked === similar ? null : similar);
        if (asked) send({ do: "near", item: row.id });
      });
      similar.setAttribute("aria-expanded", false);
      node.append(similar);
    }
    node.append(button("Rate", row.name, () => pick(row)));
    node.update = (now) => {
      const [sign, aloud, look] =
        now.move === "new" ? ["new", "new", "mf-studio-new"]
        : now.move > 0 ? [`▲ ${now.move}`, `up ${now.move}`, "mf-good"]
        : now.move < 0 ? [`▼ ${-now.move}`, `down ${-now.move}`, "mf-bad"]
        : ["", "", ""];
      const seen = el("span", look, sign);
      seen.ariaHidden = "true";
      place.replaceChildren(seen, el("span", "mf-hidden", aloud));
      why.textContent = now.why.length ? `from ${now.why.join(" · ")}` : "";
    };
    return node;
  };
  const makeNear = (row) => {
    const node = el("li");
    const score = el("span", "mf-quiet");
    node.append(el("span", "mf-studio-name", row.name), score);
    node.append(button("Rate", row.name, () => pick(row)));
    node.update = (now) => {
      score.textContent = now.score;
    };
    return node;
  };

  // ---- All together
  const about = el("p", "mf-quiet");
  const said = el("p", "mf-studio-change");
  said.setAttribute("role", "status");
  const notice = el("p", "mf-notice");
  notice.setAttribute("role", "alert");
  const columns = el("div", "mf-studio-columns");
  const one = el("div");
  const two = el("div");
  one.append(label, found.heading, found.list, count, rated.heading, hint, rated.list);
  two.append(best.heading, empty, best.list, left);
  columns.append(one, two);
  root.append(el("p", "mf-title", "Studio"), about, said, notice, columns);

  function draw() {
    const state = model.get("state");
    picked = picked.filter((row) => !state.rated.some((other) => other.id === row.id));
    about.textContent = state.about;
    said.textContent = state.said || "What a rating changes will stand here.";
    notice.textContent = state.notice;
    empty.textContent = state.empty;
    left.textContent = state.left.length ? `Out: ${state.left.join(" · ")}` : "";
    const films = [...picked, ...state.rated];
    hint.hidden = films.length > 0;
    fill(rated.list, films, makeRated, search);
    fill(best.list, state.list, makeBest, search);
    if (!search.value) found.list.hidden = found.heading.hidden = films.length > 0;
  }
  const hear = (message) => {
    if (message.near) {
      near.heading.textContent = `Similar to ${message.of}`;
      fill(near.list, message.near, makeNear, search);
      asked?.closest("li").append(nearby);
      count.textContent = `${message.near.length} similar films`;
    } else if (message.text === search.value) {
      const { length } = message.found;
      shown = message.text;
      found.heading.textContent = message.text ? "Found" : "Well known";
      if (message.text && !length) found.heading.textContent = "No such film here";
      found.list.hidden = found.heading.hidden = false;
      fill(found.list, message.found, makeFound, search);
      count.textContent = message.text ? `${length} found` : "";
      draw();
      if (hurry === shown) first();
      hurry = null;
    }
  };
  model.on("change:state", draw);
  model.on("msg:custom", hear);
  draw();
  ask();
  return () => {
    model.off("change:state", draw);
    model.off("msg:custom", hear);
  };
}

export default { render };
