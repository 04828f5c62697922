// The panel at the side, and the rail that opens it. On a narrow page it covers the charts.

import { byId, el, setText } from "./dom.js";
import { device } from "./memory.js";

const NAME = "panel";

export class Panel {
  #open = null; // {name, shown: {follow?, close}}

  // kinds: {name, key, title, icon, show(body, context)}; context is handed to each.
  constructor(kinds, context) {
    Object.assign(this, { kinds, context });
    const item = (kind) => el("button", {
      type: "button", "aria-pressed": "false", "aria-controls": "panel", title: `${kind.title} ( ${kind.key} )`,
      data: { testid: `open-${kind.name}`, panel: kind.name }, onclick: () => this.toggle(kind.name),
    }, icon(kind.icon), el("span", {}, kind.title));
    byId("rail-items").replaceChildren(...kinds.map(item));
    byId("panel-close").addEventListener("click", () => this.close());
  }

  restore(isWide) {
    const name = device.read(NAME) ?? (isWide ? this.kinds[0].name : "");
    if (isWide && this.kinds.some((kind) => kind.name === name)) this.toggle(name);
  }

  toggle(name) {
    if (this.#open?.name === name) this.close();
    else this.open(name);
  }

  open(name) {
    if (this.#open?.name === name) return;
    this.#leave();
    const kind = this.kinds.find((each) => each.name === name);
    setText(byId("panel-title"), kind.title);
    byId("panel").hidden = false;
    byId("panel-body").replaceChildren();
    byId("panel-body").dataset.panel = name;
    this.#open = { name, shown: kind.show(byId("panel-body"), this.context) };
    this.#remember(name);
    this.follow();
  }

  close() {
    this.#leave();
    byId("panel").hidden = true;
    this.#remember("");
  }

  // The active chart is another one, or shows something else.
  follow() {
    const { series } = this.context.grid.active;
    if (series) this.#open?.shown.follow?.(series.market);
  }

  #leave() {
    this.#open?.shown.close();
    this.#open = null;
  }

  #remember(name) {
    device.keep(NAME, name);
    document.body.dataset.panel = name;
    for (const button of byId("rail-items").children) button.ariaPressed = String(button.dataset.panel === name);
  }
}

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 18 18");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}
