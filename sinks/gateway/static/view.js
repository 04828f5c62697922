// One chart with its title line: it follows a series, and says what there is to say about it.

import { CandleChart } from "./chart.js";
import { setClass, setText, show } from "./dom.js";
import { direction, grouped, percent, quality } from "./format.js";
import { showLegend } from "./legend.js";
import { messageOf } from "./message.js";
import { Past } from "./past.js";
import { brief, countdown } from "./windows.js";

const INITIAL_CANDLES = 500;

export class View {
  series = null;
  chart = null;
  #hovered = null;
  #gaps = null;
  #lastClose = null;
  #past = new Past();
  #takeGaps = () => this.#chart.showGaps(this.#gaps?.store.open ?? []);
  #chart;

  constructor(template, number, { feed, markets, stream, onActivate }) {
    Object.assign(this, { feed, markets, stream });
    this.element = template.content.firstElementChild.cloneNode(true);
    this.element.dataset.testid = `view-${number}`;
    this.parts = Object.fromEntries(
      [...this.element.querySelectorAll("[data-testid]")].map((part) => [part.dataset.testid, part]));
    this.element.addEventListener("pointerdown", onActivate);
    this.element.addEventListener("focusin", onActivate);
  }

  // The element has to be on the page: a chart measures it.
  mount() {
    this.#chart = this.chart = new CandleChart(this.parts.chart, {
      onHover: (row) => { this.#hovered = row; this.#showLegend(); },
      onDrawn: () => this.show(),
      onPast: () => this.series && this.#past.read(this.series),
    });
    this.listener = {
      load: () => { this.#past.reset(); this.#chart.load(); },
      change: (rows) => this.#chart.change(rows),
      tell: () => this.show(),
    };
  }

  follow({ exchange, channel, symbol, interval }) {
    const market = { exchange, channel, symbol };
    this.leave();
    this.series = this.feed.follow(market, interval, INITIAL_CANDLES, this.listener);
    this.#gaps = this.feed.watch("gaps", market, this.#takeGaps);
    this.#lastClose = null;
    setText(this.parts["view-symbol"], symbol);
    setText(this.parts["view-venue"], `${exchange} \u00b7 ${channel}`);
    setText(this.parts["view-interval"], interval.text);
    this.element.setAttribute("aria-label", `${symbol} ${exchange} ${channel} ${interval.text}`);
    this.#chart.show(this.series);
    this.#takeGaps();
    this.show();
  }

  leave() {
    if (this.#gaps) this.feed.unwatch(this.#gaps, this.#takeGaps);
    if (this.series) this.feed.leave(this.series, this.listener);
    this.series = this.#gaps = this.#hovered = null;
  }

  remove() {
    this.leave();
    this.#chart.remove();
    this.element.remove();
  }

  show() {
    this.#showQuote();
    this.#showLegend();
    this.#showMessage();
  }

  tick() {
    const words = this.series && this.stream.state.name === "live" ? countdown(this.series) : "";
    const hasRoom = this.element.parentElement.dataset.layout === "1";
    setText(this.parts.countdown, hasRoom ? words : brief(words));
    this.#showMessage();
  }

  #showQuote() {
    const { price, change, quality: badge, recovering } = this.parts;
    const row = this.series?.last ?? null;
    show(badge, row !== null);
    show(recovering, row !== null && this.series.status.gap_recovery);
    if (row === null) {
      setText(price, "\u2013");
      setText(change, "");
      delete price.dataset.move;
      return;
    }
    if (this.#lastClose !== null && Number(row.close) !== Number(this.#lastClose)) {
      price.dataset.move = Number(row.close) > Number(this.#lastClose) ? "up" : "down";
    }
    this.#lastClose = row.close;
    setText(price, grouped(row.close));
    setText(change, percent(row.open, row.close));
    setClass(change, `change ${direction(row)}`);
    const [words, why] = quality(row);
    setText(badge, words);
    if (badge.title !== why) Object.assign(badge, { title: why }).dataset.quality = row.quality;
  }

  #showLegend() {
    const row = this.#hovered ? (this.series.rows.get(this.#hovered.timestamp) ?? null) : (this.series?.last ?? null);
    showLegend(this.parts.legend, row, row === this.series?.last);
  }

  #showMessage() {
    const words = messageOf(this.series, this.stream.state, this.markets);
    show(this.parts.message, words !== null);
    if (words === null) return;
    setClass(this.parts.message, this.series?.last ? "message over" : "message");
    ["title", "text", "closes"].forEach((part, at) => setText(this.parts[`message-${part}`], words[at] ?? ""));
  }
}
