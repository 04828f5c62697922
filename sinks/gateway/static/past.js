// Candles older than the gateway's snapshot, out of the warehouse, as somebody scrolls back to them.

import { Refusal, get } from "./api.js";

const PAGE_ROWS = 500;
const RETRY_MS = 15_000;

export class Past {
  #isReading = false;
  #ended = null; // the series that has no more
  #waitsUntilMs = 0; // the store did not answer

  // What is known is another thing now.
  reset() {
    this.#ended = null;
  }

  // Read one page before what is known; quietly nothing where there is none.
  async read(series) {
    const hasMore = series.rows.size >= series.candles; // else the snapshot was all there is
    if (this.#isReading || this.#ended === series || series.isFull || !hasMore) return;
    if (Date.now() < this.#waitsUntilMs) return;
    const { exchange, channel, symbol } = series.market;
    const { first } = series;
    this.#isReading = true;
    try {
      const { data } = await get(`/api/v1/data/klines/${encodeURIComponent(symbol)}`, {
        exchange, channel, timeframe: series.interval.text, end: first, limit: PAGE_ROWS, closed: true,
      });
      const older = data.filter((row) => row.timestamp < first);
      if (series.first !== first) return; // loaded anew meanwhile
      if (older.length) series.extend(older);
      if (older.length < PAGE_ROWS) this.#ended = series;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.isFinal) this.#ended = series;
      else this.#waitsUntilMs = Date.now() + RETRY_MS;
    } finally {
      this.#isReading = false;
    }
  }
}
