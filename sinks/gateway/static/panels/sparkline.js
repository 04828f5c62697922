// A line of the last minutes, with its newest value in words.

import { el, setText } from "../dom.js";

const [WIDTH, HEIGHT] = [300, 48];
const SVG = "http://www.w3.org/2000/svg";

export class Sparkline {
  // values: functions of a second to a number or null, drawn one over the other.
  constructor(title, values, words) {
    Object.assign(this, { values, words });
    this.now = el("output");
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("aria-hidden", "true");
    this.lines = values.map(() => this.svg.appendChild(document.createElementNS(SVG, "polyline")));
    this.most = el("span", { class: "quiet" });
    this.element = el("section", { class: "spark" }, el("h3", {}, title), el("div", {}, this.now, this.most), this.svg);
  }

  draw(seconds) {
    const columns = this.values.map((value) => seconds.map(value));
    const most = Math.max(1, ...columns.flat().filter((value) => value !== null));
    const step = WIDTH / Math.max(seconds.length - 1, 60);
    columns.forEach((column, at) => {
      const points = column.map((value, second) => [second, value]).filter(([, value]) => value !== null);
      this.lines[at].setAttribute("points", points.map(([second, value]) =>
        `${(second * step).toFixed(1)},${(HEIGHT - 2 - ((HEIGHT - 4) * value) / most).toFixed(1)}`).join(" "));
    });
    const newest = columns.map((column) => column.findLast((value) => value !== null));
    setText(this.now, newest.map((value) => (value === undefined ? "\u2013" : this.words(value))).join(" / "));
    setText(this.most, newest.every((value) => value === undefined) ? "quiet" : `most ${this.words(most)}`);
  }
}
