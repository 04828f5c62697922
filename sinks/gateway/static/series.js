// The candles of one series as far as they are known here. A row counts only if its version is
// higher than the one known: revisions may come twice.

const ROWS_MAX = 5_000;

export class Series {
  rows = new Map(); // by open time
  last = null;
  first = Infinity; // open time of the oldest
  promised = 0; // candles of the last answered subscription
  loaded = 0; // the same when the candles came
  isEnded = false; // the gateway ended it
  isAnswered = false;
  hint = "";
  error = "";
  status = { historical_loading: false, gap_recovery: false, data_quality: "complete" };
  listeners = new Set(); // {load(), change(rows), tell()}

  constructor(market, interval) {
    Object.assign(this, { market, interval, candles: 0 });
    this.ends = new Map(); // of windows that are not all of one length
  }

  get id() {
    return idOf(this.market, this.interval);
  }

  sorted() {
    return [...this.rows.values()].sort((a, b) => a.timestamp - b.timestamp);
  }

  // A snapshot replaces what is known: after a reconnect the gateway may serve another log, in
  // which versions start anew.
  load(rows) {
    this.rows = new Map();
    this.last = null;
    this.first = Infinity;
    this.loaded = this.promised;
    for (const row of rows) this.#take(row);
    this.#emit("load");
  }

  push(rows) {
    const fresh = rows.filter((row) => !this.#isBefore(row) && this.#take(row));
    if (this.rows.size > ROWS_MAX * 1.1) this.#trim();
    if (fresh.length) this.#emit("change", fresh);
  }

  // Older candles, read from the store; what is known already is at least as new.
  extend(rows) {
    for (const row of rows) if (!this.rows.has(row.timestamp)) this.rows.set(row.timestamp, row);
    this.first = Math.min(this.first, ...rows.map((row) => row.timestamp));
    this.#emit("load");
  }

  get isFull() {
    return this.rows.size >= ROWS_MAX;
  }

  tell(facts) {
    Object.assign(this, facts);
    this.#emit("tell");
  }

  #emit(what, rows) {
    for (const listener of this.listeners) listener[what]?.(rows);
  }

  // Corrected, and older than all that is shown: between would be a hole that looks like none.
  #isBefore({ timestamp }) {
    return timestamp < this.first && this.rows.size >= this.candles;
  }

  #take(row) {
    const known = this.rows.get(row.timestamp);
    if (known && version(known) >= version(row)) return false;
    if (known?.closed && row.closed) row.was = differs(known, row) ? { ...known, was: undefined } : known.was;
    this.rows.set(row.timestamp, row);
    this.first = Math.min(this.first, row.timestamp);
    if (this.last === null || row.timestamp >= this.last.timestamp) this.last = row;
    return true;
  }

  #trim() {
    const kept = this.sorted().slice(-ROWS_MAX);
    this.rows = new Map(kept.map((row) => [row.timestamp, row]));
    this.first = kept[0].timestamp;
    this.#emit("load");
  }
}

export function idOf({ exchange, channel, symbol }, { ms, anchor }) {
  return [exchange, channel, symbol, ms, anchor].join("|");
}

function version(row) {
  return 2 * row.rev + (row.closed ? 1 : 0);
}

function differs(a, b) {
  return ["open", "high", "low", "close", "volume", "trade_count"].some((name) => a[name] !== b[name]);
}
