// The chart: candles and volume on TradingView Lightweight Charts, drawn from a series. A row is
// drawn once a frame, however often it changes.

import { Bands } from "./bands.js";
import { decimals, direction, utc } from "./format.js";
import { perFrame } from "./frames.js";
import { UNIT_MS } from "./intervals.js";
import { Marks } from "./marks.js";

const { createChart, createSeriesMarkers, CandlestickSeries, HistogramSeries, CrosshairMode } =
  globalThis.LightweightCharts;
const BAR_WIDTH_PX = 8;
const NEAR_THE_PAST = 20; // bars to the left of what is seen
const COLORS = ["bg", "text", "muted", "line", "grid", "up", "down", "up-soft", "down-soft", "warn", "gap", "gap-soft", "proven", "assumed"];

export class CandleChart {
  series = null;
  #sorted = [];
  #fresh = new Map();
  #precision = -1;
  #spans = [];
  #soon = perFrame(() => this.#flush());

  // onHover(row or null), onDrawn(): what the legend shows has changed; onPast(): older candles, please.
  constructor(element, { onHover, onDrawn, onPast }) {
    Object.assign(this, { element, onDrawn, onPast });
    this.chart = createChart(element, {
      autoSize: true,
      layout: { attributionLogo: false, fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 11 },
      localization: { timeFormatter: (time) => `${utc(time * 1_000, this.series?.interval.ms ?? 1)} UTC` },
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { rightOffset: 4, minBarSpacing: 0.8 },
    });
    this.candles = this.chart.addSeries(CandlestickSeries, { borderVisible: false });
    this.volume = this.chart.addSeries(HistogramSeries, {
      priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false,
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    this.chart.priceScale("right").applyOptions({ scaleMargins: { top: 0.1, bottom: 0.2 } });
    this.marks = new Marks(createSeriesMarkers(this.candles, []));
    this.bands = new Bands();
    this.candles.attachPrimitive(this.bands);
    this.chart.subscribeCrosshairMove(({ time }) => onHover(this.series?.rows.get(time * 1_000) ?? null));
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < NEAR_THE_PAST && this.#sorted.length) this.onPast();
    });
    this.applyTheme();
  }

  // Show another series; null: none.
  show(series) {
    this.series = series;
    this.#fresh.clear();
    this.#precision = -1;
    this.#spans = [];
    if (series) {
      const { ms } = series.interval;
      this.chart.applyOptions({ timeScale: { timeVisible: ms % UNIT_MS.D !== 0, secondsVisible: ms < UNIT_MS.m } });
    }
    this.redraw();
    this.showLatest();
  }

  // What is waiting to be drawn is drawn no more.
  remove() {
    this.series = null;
    this.chart.remove();
  }

  load() {
    const wasEmpty = this.#sorted.length === 0;
    this.#fresh.clear();
    this.redraw();
    if (wasEmpty) this.showLatest();
    this.onDrawn();
  }

  change(rows) {
    for (const row of rows) this.#fresh.set(row.timestamp, row);
    this.#soon();
  }

  showGaps(spans) {
    this.#spans = spans;
    this.bands.show(this.#sorted, spans);
  }

  showLatest() {
    const shown = Math.max(Math.floor(this.element.clientWidth / BAR_WIDTH_PX), 30);
    const to = this.#sorted.length + 4;
    this.chart.timeScale().setVisibleLogicalRange({ from: to - shown, to });
  }

  // by: bars to the left (negative) or right; 0: to the newest.
  scroll(by) {
    const scale = this.chart.timeScale();
    if (by === 0) scale.scrollToRealTime();
    else scale.scrollToPosition(scale.scrollPosition() + by, false);
  }

  zoom(factor) {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (range) this.chart.timeScale().setVisibleLogicalRange({ from: range.to - (range.to - range.from) * factor, to: range.to });
  }

  applyTheme() {
    const probe = document.body.appendChild(document.createElement("i"));
    const color = (name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    const c = (this.colors = this.bands.colors = Object.fromEntries(COLORS.map((name) => [name, color(name)])));
    probe.remove();
    this.chart.applyOptions({
      layout: { background: { color: c.bg }, textColor: c.muted, panes: { separatorColor: c.line } },
      grid: { vertLines: { color: c.grid }, horzLines: { color: c.grid } },
      rightPriceScale: { borderColor: c.line },
      timeScale: { borderColor: c.line },
      crosshair: {
        vertLine: { color: c.muted, labelBackgroundColor: c.muted },
        horzLine: { color: c.muted, labelBackgroundColor: c.muted },
      },
    });
    this.candles.applyOptions({ upColor: c.up, downColor: c.down, wickUpColor: c.up, wickDownColor: c.down });
    this.redraw();
  }

  redraw() {
    this.#sorted = this.series?.sorted() ?? [];
    if (this.#sorted.length) this.#setPrecision(this.#sorted.at(-1));
    this.candles.setData(this.#sorted.map(bar));
    this.volume.setData(this.#sorted.map((row) => this.#volumeBar(row)));
    this.marks.show(this.#sorted, this.colors);
    this.bands.show(this.#sorted, this.#spans);
  }

  #flush() {
    if (this.series === null) return;
    const fresh = [...this.#fresh.values()].sort((a, b) => a.timestamp - b.timestamp);
    this.#fresh.clear();
    for (const row of fresh) if (!this.#update(row)) return this.load(); // a bar between bars
    this.marks.change(fresh);
    this.bands.show(this.#sorted);
    this.onDrawn();
  }

  #update(row) {
    const last = this.#sorted.at(-1);
    const isPast = last !== undefined && row.timestamp < last.timestamp;
    const at = isPast ? this.#sorted.findLastIndex((each) => each.timestamp === row.timestamp) : this.#sorted.length - 1;
    if (isPast && at < 0) return false;
    if (last === undefined || row.timestamp > last.timestamp) this.#sorted.push(row);
    else this.#sorted[at] = row;
    this.#setPrecision(row);
    this.candles.update(bar(row), isPast);
    this.volume.update(this.#volumeBar(row), isPast);
    return true;
  }

  #setPrecision(row) {
    const precision = Math.max(this.#precision, ...[row.open, row.high, row.low, row.close].map(decimals));
    if (precision === this.#precision) return;
    this.#precision = precision;
    this.candles.applyOptions({ priceFormat: { type: "price", precision, minMove: 10 ** -precision } });
  }

  #volumeBar(row) {
    return { ...time(row), value: Number(row.volume), color: this.colors[`${direction(row)}-soft`] };
  }
}

function time(row) {
  return { time: row.timestamp / 1_000 };
}

function bar(row) {
  return { ...time(row), open: Number(row.open), high: Number(row.high), low: Number(row.low), close: Number(row.close) };
}
