// Elements without a framework. Text is always text: nothing here reads HTML.

export const byId = (id) => document.getElementById(id);

// el("button", { class: "ghost", type: "button", data: { testid: "add" }, onclick: add }, "Add")
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "data") Object.assign(node.dataset, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return node;
}

export function setText(node, text) {
  if (said.get(node) === text) return;
  said.set(node, text);
  node.textContent = text;
}

export function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

export function show(node, isShown) {
  if (node.hidden === isShown) node.hidden = !isShown;
}

const said = new WeakMap(); // reading a text back costs more than remembering it

// The same few rows all the time: what is shown changes, the elements stay.
export function resize(parent, count, make) {
  while (parent.children.length > count) parent.lastElementChild.remove();
  while (parent.children.length < count) parent.append(make());
  return parent.children;
}
