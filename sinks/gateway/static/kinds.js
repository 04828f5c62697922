// What is kept of a market's kinds other than candles: the newest row, the last trades, the gaps.

const TRADES_MAX = 100;
const GAPS_MAX = 500;

class Newest {
  row = null;

  take(rows) {
    for (const row of rows) this.row = row;
  }
}

class Trades {
  rows = []; // oldest first
  total = 0; // of all that ever came
  isAnew = false; // what was shown of them does not count any more

  take(rows, isSnapshot) {
    if (isSnapshot) [this.rows, this.isAnew] = [[], true];
    this.rows = [...this.rows, ...rows].slice(-TRADES_MAX);
    this.total += rows.length;
  }
}

// A gap may be told whole and mended in parts: each row takes its ids from those told before.
class Gaps {
  rows = []; // as they were told

  take(rows, isSnapshot) {
    if (isSnapshot) this.rows = [];
    for (const row of rows) this.rows = [...this.rows.flatMap((each) => without(each, row)), row].slice(-GAPS_MAX);
  }

  // Where trades are missing now. Of a whole socket each symbol's ids tell.
  get open() {
    return this.rows.filter((row) => isOpen(row) && (isOfIds(row) || (row.kind === "trades" && row.symbol)));
  }
}

const isOpen = ({ state }) => state === "found" || state === "recovering";
const isOfIds = ({ kind }) => kind === undefined;

// What is left of a row when a later one is told.
function without(old, row) {
  if (isOfIds(old) !== isOfIds(row)) return [old];
  if (isOfIds(row)) return outside(old, row);
  if (old.kind !== row.kind || old.symbol !== row.symbol) return [old];
  // An ingestor that was killed closes nothing; its successor tells a span of its own.
  const isOver = !isOpen(row) && isOpen(old) && old.from_ms <= Math.max(row.from_ms, row.to_ms);
  return isOver || old.from_ms === row.from_ms ? [] : [old];
}

function outside(old, { first_id: first, last_id: last }) {
  const sides = [[old.first_id, Math.min(old.last_id, first - 1)], [Math.max(old.first_id, last + 1), old.last_id]];
  return sides.filter(([from, to]) => from <= to).map(([from, to]) => (
    { ...old, first_id: from, last_id: to, missing: Math.min(old.missing, to - from + 1) }));
}

const STORES = { trades: Trades, gaps: Gaps };

export class Kind {
  isAnswered = false;
  hint = "";
  error = "";
  listeners = new Set();

  constructor(name, market) {
    Object.assign(this, { name, market, store: new (STORES[name] ?? Newest)() });
  }

  get id() {
    return kindId(this.name, this.market);
  }

  take(rows, isSnapshot) {
    this.store.take(rows, isSnapshot);
    for (const listener of this.listeners) listener();
  }

  tell(facts) {
    Object.assign(this, facts);
    for (const listener of this.listeners) listener();
  }
}

export function kindId(name, { exchange, channel, symbol }) {
  return [name, exchange, channel, symbol].join("|");
}
