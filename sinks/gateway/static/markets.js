// What can be shown: the markets with candles, the intervals that are made; asked anew now and then.

import { get } from "./api.js";
import { parseInterval } from "./intervals.js";

export class Markets extends EventTarget {
  all = []; // {symbol, exchange, channel, intervals}
  intervals = []; // texts
  isKnown = false;

  async load() {
    let answer;
    try {
      answer = await get("/api/v1/series");
    } catch {
      return; // the state of the connection says it already
    }
    const changed = answer.intervals.join() !== this.intervals.join() || answer.series.length !== this.all.length;
    const isFirst = !this.isKnown;
    Object.assign(this, { all: answer.series, intervals: answer.intervals, isKnown: true });
    if (changed || isFirst) this.dispatchEvent(new Event("change"));
  }

  has({ exchange, channel, symbol }) {
    return this.all.some((m) => m.symbol === symbol && m.exchange === exchange && m.channel === channel);
  }

  first() {
    const market = this.all.find((m) => m.symbol === "BTCUSDT") ?? this.all[0];
    if (!market) return null;
    const text = this.intervals.includes("1m") ? "1m" : (this.intervals[0] ?? "1m");
    return { ...market, interval: parseInterval(text) };
  }

  // Those that are made and those that somebody looks at, shortest first.
  sortedIntervals(shown) {
    const texts = [...new Set([...this.intervals, ...shown])];
    return texts.sort((a, b) => parseInterval(a).ms - parseInterval(b).ms || (a < b ? -1 : 1));
  }
}
