// The header's controls of the active chart: which symbol, which interval, how many charts.

import { LAYOUTS } from "./address.js";
import { byId, el, setText } from "./dom.js";
import { INTERVAL_HELP, PRESETS, parseInterval } from "./intervals.js";

export class Toolbar {
  // onPreset(name): somebody asked for intervals that stand together.
  constructor(grid, markets, { onSymbol, onPreset }) {
    Object.assign(this, { grid, markets, onPreset });
    byId("symbol").addEventListener("click", onSymbol);
    byId("interval-form").addEventListener("submit", (event) => this.#submit(event));
    byId("interval-text").addEventListener("input", () => this.help(null));
    byId("interval-buttons").addEventListener("click", ({ target }) => {
      if (target.dataset.interval) this.#choose(parseInterval(target.dataset.interval));
    });
    byId("layouts").replaceChildren(...LAYOUTS.map((many) => el("button", {
      type: "button", "aria-label": many === 1 ? "One chart" : `${many} charts`, title: `${many} ${many === 1 ? "chart" : "charts"} ( ${many} )`,
      data: { testid: `layout-${many}`, layout: many }, onclick: () => grid.setLayout(many, this.#candidates()),
    }, ...Array.from({ length: many }, () => el("i", { "aria-hidden": "true" })))));
    grid.addEventListener("change", () => { this.help(null); this.show(); });
    markets.addEventListener("change", () => this.show());
  }

  show() {
    const { series } = this.grid.active;
    setText(byId("symbol-name"), series?.market.symbol ?? "\u2026");
    setText(byId("symbol-venue"), series ? `${series.market.exchange} \u00b7 ${series.market.channel}` : "");
    this.#showIntervals(series?.interval.text);
    for (const button of byId("layouts").children) {
      button.ariaPressed = String(Number(button.dataset.layout) === this.grid.layout);
    }
  }

  help(text) {
    byId("interval-help").hidden = text === null;
    setText(byId("interval-help"), text ?? "");
    byId("interval-text").ariaInvalid = String(text !== null);
  }

  #showIntervals(chosen) {
    const texts = this.markets.sortedIntervals(this.grid.shown.map(({ interval }) => interval.text));
    const buttons = [...byId("interval-buttons").children];
    if (buttons.map(({ dataset }) => dataset.interval).join() !== texts.join()) {
      byId("interval-buttons").replaceChildren(...texts.map((text) => el("button", {
        type: "button", data: { interval: text, testid: `interval-${text}` } }, text)));
    }
    for (const button of byId("interval-buttons").children) {
      const isChosen = button.dataset.interval === chosen;
      if (isChosen && button.ariaPressed !== "true") button.scrollIntoView({ block: "nearest", inline: "nearest" });
      button.ariaPressed = String(isChosen);
    }
  }

  #submit(event) {
    event.preventDefault();
    const text = byId("interval-text").value.trim();
    const parsed = parseInterval(text);
    const preset = text.toLowerCase() in PRESETS;
    if (!parsed && !preset) {
      return this.help(`\u201c${text}\u201d is not an interval. Valid: ${INTERVAL_HELP} ${Object.keys(PRESETS).join(", ")} is a preset.`);
    }
    byId("interval-text").value = "";
    if (preset) this.onPreset(text.toLowerCase());
    else this.#choose(parsed);
  }

  #choose(interval) {
    if (this.grid.active.series) this.grid.choose({ interval });
  }

  // What more charts of a market may show: longer ones first, as a trader would look.
  #candidates() {
    if (!this.grid.active.series) return [];
    const all = this.markets.intervals.map(parseInterval);
    const now = this.grid.active.series.interval;
    return [...all.filter(({ ms }) => ms > now.ms), ...all.filter(({ ms }) => ms <= now.ms).reverse()];
  }
}
