// The Fibonacci ladder: the candle that runs now, in every interval of the preset. A row opens
// its interval in the active chart.

import { el, setClass, setText } from "../dom.js";
import { direction, percent, quality, sentence } from "../format.js";
import { CALM_MS, perFrame } from "../frames.js";
import { PRESETS, parseInterval } from "../intervals.js";
import { brief, countdown } from "../windows.js";

const TICK_MS = 1_000;

export const ladder = {
  name: "ladder",
  title: "Ladder",
  key: "l",
  icon: "M4 2v14M14 2v14M4 5h10M4 9h10M4 13h10",

  show(body, context) {
    const shown = new Ladder(context);
    body.append(shown.element);
    return shown;
  },
};

class Ladder {
  #followed = [];
  #soon = perFrame(() => this.#draw(), CALM_MS);

  constructor({ feed, grid }) {
    Object.assign(this, { feed, grid });
    this.rows = PRESETS.fibonacci.map((text) => this.#row(parseInterval(text)));
    const titles = ["", "Change", "Low to high", "Closes in"];
    const head = el("thead", {}, el("tr", {}, ...titles.map((name) => el("th", { scope: "col" }, name || el("span", { class: "unseen" }, "Interval")))));
    const table = el("table", { class: "ladder", "aria-label": "Fibonacci ladder", data: { testid: "ladder" } },
      head, el("tbody", {}, ...this.rows.map(({ element }) => element)));
    this.note = el("p", { class: "note", data: { testid: "ladder-note" } });
    this.element = el("section", {}, table, this.note);
    this.timer = setInterval(() => this.#draw(), TICK_MS);
  }

  follow(market) {
    if (this.market && ["exchange", "channel", "symbol"].every((name) => this.market[name] === market[name])) return this.#draw();
    this.#leave();
    this.market = market;
    this.#followed = this.rows.map(({ interval }) => this.feed.follow(market, interval, 1, this.#listener));
    this.#draw();
  }

  close() {
    clearInterval(this.timer);
    this.#leave();
  }

  #listener = { load: () => this.#soon(), change: () => this.#soon(), tell: () => this.#soon() };

  #leave() {
    for (const series of this.#followed) this.feed.leave(series, this.#listener);
    this.#followed = [];
  }

  #row(interval) {
    const mark = el("i", { "aria-hidden": "true" });
    const cells = { change: el("td"), range: el("td", { class: "range" }, el("span", {}, mark)), closes: el("td", { class: "quiet" }) };
    const button = el("button", { type: "button", data: { testid: `rung-${interval.text}` }, onclick: () => this.grid.choose({ interval }) }, interval.text);
    return { interval, mark, button, ...cells, element: el("tr", {}, el("th", { scope: "row" }, button), ...Object.values(cells)) };
  }

  #draw() {
    const chosen = this.grid.active.series?.interval.text;
    const unmade = [];
    this.rows.forEach((row, at) => {
      const series = this.#followed[at];
      row.button.ariaPressed = String(row.interval.text === chosen);
      if (!series) return;
      if (series.last) drawCandle(row, series);
      else drawNothing(row, series);
      if (series.isAnswered && !series.last && (series.error || series.hint)) unmade.push(series);
    });
    const reasons = [...new Set(unmade.map(({ error, hint }) => sentence(error || hint)))];
    this.note.hidden = unmade.length === 0;
    setText(this.note, `Without candles: ${unmade.map(({ interval }) => interval.text).join(", ")}. ${reasons[0] ?? ""}`);
  }
}

function drawCandle({ element, change, range, mark, closes }, series) {
  const { last } = series;
  const [low, high, close] = [last.low, last.high, last.close].map(Number);
  setText(change, percent(last.open, last.close));
  setClass(change, direction(last));
  setClass(element, last.quality);
  element.title = quality(last).join(": ");
  mark.style.insetInlineStart = `${high > low ? (100 * (close - low)) / (high - low) : 50}%`;
  range.dataset.way = direction(last);
  setText(closes, brief(countdown(series)));
}

function drawNothing({ element, change, range, closes }, series) {
  setText(change, "\u2013");
  setClass(change, "quiet");
  setClass(element, "none");
  element.title = "";
  delete range.dataset.way;
  setText(closes, series.status.historical_loading ? "soon" : "");
}
