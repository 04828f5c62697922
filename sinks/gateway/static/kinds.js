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

// What became of a range is told anew under the same name, so the newest of a name counts.
class Gaps {
  rows = new Map();

  take(rows, isSnapshot) {
    if (isSnapshot) this.rows.clear();
    for (const row of rows.flatMap((each) => each.data ?? each)) {
      const name = row.first_id === undefined ? `${row.kind}|${row.from_ms}` : `${row.first_id}|${row.last_id}`;
      this.rows.delete(name);
      this.rows.set(name, row);
      if (this.rows.size > GAPS_MAX) this.rows.delete(this.rows.keys().next().value);
    }
  }

  get open() {
    return [...this.rows.values()].filter(({ state }) => state === "found" || state === "recovering");
  }
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
