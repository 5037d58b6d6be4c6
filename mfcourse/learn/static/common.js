// Stands before the script of each widget: a module of anywidget imports no other.
function add(parent, tag, look = "", text = "") {
  const node = document.createElement(tag);
  if (look) node.className = look;
  node.textContent = text;
  node.dataset.lmSuppressShortcuts = "true"; // JupyterLab leaves its keys to this node
  return parent.appendChild(node);
}

// Draw now and after each change of these traits; gives what ends it.
function live(model, traits, draw) {
  for (const trait of traits) model.on(`change:${trait}`, draw);
  draw();
  return () => {
    for (const trait of traits) model.off(`change:${trait}`, draw);
  };
}
