// Shortcuts, and the dialog that lists them. While somebody types they are letters.

import { byId, el } from "./dom.js";

// shortcuts: [keys, what it does, action]
export class Keys {
  #dialog = byId("help");
  #actions = new Map();

  constructor(shortcuts) {
    const all = [...shortcuts, [["?"], "This list", () => this.open()]];
    for (const [keys, , action] of all) for (const key of keys) this.#actions.set(key, action);
    byId("help-list").replaceChildren(...all.flatMap(([keys, what]) => [
      el("dt", {}, ...keys.map((key) => el("kbd", {}, shown(key)))), el("dd", {}, what)]));
    byId("help-open").addEventListener("click", () => this.open());
    byId("help-close").addEventListener("click", () => this.#dialog.close());
    addEventListener("keydown", (event) => this.#press(event));
  }

  open() {
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.matches("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const action = this.#actions.get(event.key);
    if (!action) return;
    event.preventDefault();
    action();
  }
}

function shown(key) {
  return { ArrowLeft: "\u2190", ArrowRight: "\u2192", Escape: "Esc" }[key] ?? key;
}
