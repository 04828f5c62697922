// The chart: candles and volume on TradingView Lightweight Charts, from rows with exact text.
// A row counts only if its version is higher than the one known: revisions may come twice.

import { decimals, isCorrected, utc } from "./format.js";

const { createChart, createSeriesMarkers, CandlestickSeries, HistogramSeries, CrosshairMode } =
  globalThis.LightweightCharts;

const BARS_MAX = 5_000;
const BAR_WIDTH_PX = 8;

export class CandleChart {
  rows = new Map();
  last = null;
  #pending = new Map();
  #frame = 0;
  #intervalMs = 60_000;
  #precision = -1;
  #marked = "";

  constructor(element, { onHover, onChange }) {
    this.element = element;
    this.onChange = onChange;
    this.chart = createChart(element, {
      autoSize: true,
      layout: { attributionLogo: false, fontFamily: getComputedStyle(document.body).fontFamily },
      localization: { timeFormatter: (time) => `${utc(time * 1_000, this.#intervalMs)} UTC` },
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { rightOffset: 6, minBarSpacing: 1.5 },
    });
    this.candles = this.chart.addSeries(CandlestickSeries, { borderVisible: false });
    this.volume = this.chart.addSeries(HistogramSeries, {
      priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false,
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.chart.priceScale("right").applyOptions({ scaleMargins: { top: 0.08, bottom: 0.22 } });
    this.markers = createSeriesMarkers(this.candles, []);
    this.chart.subscribeCrosshairMove(({ time }) =>
      onHover(time === undefined ? null : (this.rows.get(time * 1_000) ?? null)));
    this.applyTheme();
  }

  clear(intervalMs) {
    this.#intervalMs = intervalMs;
    this.rows = new Map();
    this.#pending.clear();
    this.last = null;
    this.#precision = -1;
    this.candles.setData([]);
    this.volume.setData([]);
    this.#mark();
    this.chart.applyOptions({
      timeScale: { timeVisible: intervalMs % 86_400_000 !== 0, secondsVisible: intervalMs < 60_000 },
    });
  }

  // A snapshot replaces what is shown: after a reconnect the gateway may serve another log, in
  // which versions start anew.
  load(rows) {
    const wasEmpty = this.rows.size === 0;
    this.rows = new Map();
    this.last = null;
    this.#pending.clear();
    for (const row of rows) this.#take(row);
    this.#redraw();
    if (wasEmpty) this.showLatest();
    this.onChange();
  }

  // Updates are drawn once per frame, however many come; a hidden page has no frames, but a title.
  push(rows) {
    for (const row of rows) this.#pending.set(row.timestamp, newer(row, this.#pending.get(row.timestamp)));
    while (this.#pending.size > BARS_MAX) this.#pending.delete(this.#pending.keys().next().value);
    if (document.hidden) this.#flush();
    else this.#frame ||= requestAnimationFrame(() => this.#flush());
  }

  showLatest() {
    const shown = Math.max(Math.floor(this.element.clientWidth / BAR_WIDTH_PX), 30);
    const to = this.rows.size + 5;
    this.chart.timeScale().setVisibleLogicalRange({ from: to - shown, to });
  }

  applyTheme() {
    const probe = document.body.appendChild(document.createElement("i"));
    const color = (name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    this.colors = Object.fromEntries(
      ["bg", "text", "muted", "line", "grid", "up", "down", "up-soft", "down-soft", "warn", "gap", "raised"].map(
        (name) => [name, color(name)]));
    probe.remove();
    const c = this.colors;
    this.chart.applyOptions({
      layout: { background: { color: c.bg }, textColor: c.muted },
      grid: { vertLines: { color: c.grid }, horzLines: { color: c.grid } },
      rightPriceScale: { borderColor: c.line },
      timeScale: { borderColor: c.line },
      crosshair: {
        vertLine: { color: c.muted, labelBackgroundColor: c.muted },
        horzLine: { color: c.muted, labelBackgroundColor: c.muted },
      },
    });
    this.candles.applyOptions({ upColor: c.up, downColor: c.down, wickUpColor: c.up, wickDownColor: c.down });
    this.#marked = "";
    this.#redraw();
  }

  #flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const fresh = [...this.#pending.values()].sort((a, b) => a.timestamp - b.timestamp);
    this.#pending.clear();
    let redraw = false;
    for (const row of fresh) {
      const isPast = this.last !== null && row.timestamp < this.last.timestamp;
      const isNew = !this.rows.has(row.timestamp);
      if (!this.#take(row)) continue;
      if (isPast && isNew) redraw = true; // a bar between bars: the chart wants the whole series
      else if (!redraw) this.#update(row, isPast);
    }
    if (redraw || this.rows.size > BARS_MAX) this.#redraw();
    this.#mark();
    this.onChange();
  }

  #take(row) {
    const known = this.rows.get(row.timestamp);
    if (newer(row, known) === known) return false;
    this.rows.set(row.timestamp, row);
    if (this.last === null || row.timestamp >= this.last.timestamp) this.last = row;
    return true;
  }

  #update(row, isPast) {
    this.#setPrecision(row);
    this.candles.update(bar(row), isPast);
    this.volume.update(this.#volumeBar(row), isPast);
  }

  #redraw() {
    const rows = [...this.rows.values()].sort((a, b) => a.timestamp - b.timestamp).slice(-BARS_MAX);
    this.rows = new Map(rows.map((row) => [row.timestamp, row]));
    if (rows.length) this.#setPrecision(rows[rows.length - 1]);
    this.candles.setData(rows.map(bar));
    this.volume.setData(rows.map((row) => this.#volumeBar(row)));
    this.#mark();
  }

  #setPrecision(row) {
    const precision = Math.max(this.#precision, ...[row.open, row.high, row.low, row.close].map(decimals));
    if (precision === this.#precision) return;
    this.#precision = precision;
    this.candles.applyOptions({ priceFormat: { type: "price", precision, minMove: 10 ** -precision } });
  }

  #volumeBar(row) {
    const isUp = Number(row.close) >= Number(row.open);
    return { ...time(row), value: Number(row.volume), color: this.colors[isUp ? "up-soft" : "down-soft"] };
  }

  #mark() {
    const marks = [];
    for (const row of this.rows.values()) {
      if (row.quality === "gap") marks.push(mark(row, "belowBar", "square", this.colors.gap));
      if (isCorrected(row)) marks.push(mark(row, "aboveBar", "circle", this.colors.warn));
    }
    marks.sort((a, b) => a.time - b.time);
    const marked = marks.map((each) => each.time + each.shape).join();
    if (marked === this.#marked) return;
    this.#marked = marked;
    this.markers.setMarkers(marks);
  }
}

function newer(row, known) {
  return known === undefined || version(row) > version(known) ? row : known;
}

function version(row) {
  return 2 * row.rev + (row.closed ? 1 : 0);
}

function time(row) {
  return { time: row.timestamp / 1_000 };
}

function bar(row) {
  return { ...time(row), open: Number(row.open), high: Number(row.high), low: Number(row.low), close: Number(row.close) };
}

function mark(row, position, shape, color) {
  return { ...time(row), position, shape, color, size: 0.5 };
}
