// Candles older than the gateway's snapshot, out of the warehouse, as somebody scrolls back to them.

import { Refusal, get } from "./api.js";

const PAGE_ROWS = 500;

export class Past {
  #isReading = false;
  #ended = null; // the series that has no more, or whose store does not answer

  // Read one page before what is known; quietly nothing where there is none.
  async read(series) {
    const hasMore = series.rows.size >= series.candles; // else the snapshot was all there is
    if (this.#isReading || this.#ended === series || series.isFull || !hasMore) return;
    const { exchange, channel, symbol } = series.market;
    const first = Math.min(...series.rows.keys());
    this.#isReading = true;
    try {
      const { data } = await get(`/api/v1/data/klines/${encodeURIComponent(symbol)}`, {
        exchange, channel, timeframe: series.interval.text, end: first, limit: PAGE_ROWS, closed: true,
      });
      const older = data.filter((row) => row.timestamp < first);
      if (older.length < PAGE_ROWS) this.#ended = series;
      if (older.length) series.extend(older);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#ended = series;
    } finally {
      this.#isReading = false;
    }
  }
}
