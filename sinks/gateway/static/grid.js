// The charts side by side: one, two or four. One of them is active: header and panels speak of it.

import * as address from "./address.js";
import { byId } from "./dom.js";
import { View } from "./view.js";

export class Grid extends EventTarget {
  views = [];
  active = null;

  constructor(element, parts) {
    super();
    this.element = element;
    this.parts = parts;
    this.#resize(1);
  }

  get layout() {
    return this.views.length;
  }

  get shown() {
    return this.views.map(({ series }) => series).filter(Boolean).map(chartOf);
  }

  // Show these charts, as an address names them.
  show(charts) {
    this.#resize(charts.length);
    charts.forEach((chart, at) => {
      if (!isSame(this.views[at].series, chart)) this.views[at].follow(chart);
    });
    this.#changed();
  }

  // More charts show the market of the active one, in other intervals; fewer leave the active one.
  setLayout(many, intervals) {
    const now = this.active.series && chartOf(this.active.series);
    if (!now || many === this.layout) return;
    const charts = this.shown;
    if (many < charts.length) {
      const kept = charts.slice(0, many);
      this.show(kept.some((chart) => isSame(this.active.series, chart)) ? kept : [...kept.slice(0, -1), now]);
      return;
    }
    const others = intervals.filter((interval) => !charts.some((chart) => chart.interval.text === interval.text));
    while (charts.length < many) charts.push({ ...now, interval: others.shift() ?? now.interval });
    this.show(charts);
  }

  // In the active chart.
  choose(change) {
    const now = this.active.series ? chartOf(this.active.series) : {};
    this.active.follow({ ...now, ...change });
    this.#changed();
  }

  activate(view) {
    if (view === this.active || !this.views.includes(view)) return;
    this.active = view;
    this.#changed();
  }

  step(by) {
    const at = this.views.indexOf(this.active) + by + this.layout;
    this.activate(this.views[at % this.layout]);
  }

  tick() {
    for (const view of this.views) view.tick();
  }

  #resize(many) {
    while (this.views.length > many) this.views.pop().remove();
    while (this.views.length < many) {
      const view = new View(byId("view"), this.views.length, { ...this.parts, onActivate: () => this.activate(view) });
      this.element.append(view.element);
      view.mount();
      this.views.push(view);
    }
    if (!this.views.includes(this.active)) this.active = this.views.at(-1);
    this.element.dataset.layout = many;
  }

  #changed() {
    for (const view of this.views) view.element.dataset.active = String(view === this.active && this.layout > 1);
    if (this.shown.length) address.write(this.shown);
    this.dispatchEvent(new Event("change"));
  }
}

function chartOf({ market, interval }) {
  return { ...market, interval };
}

function isSame(series, chart) {
  return series !== null && series.interval.text === chart.interval.text
    && ["exchange", "channel", "symbol"].every((name) => series.market[name] === chart[name]);
}
