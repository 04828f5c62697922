// The order book as a ladder: asks above, bids below, the spread between. Bars show the sum of
// what stands up to a level.

import { el, resize, setText } from "../dom.js";
import { decimals, grouped, signed } from "../format.js";
import { Watching } from "./watching.js";

const LEVELS = 10;

export class Book extends Watching {
  constructor(feed) {
    const parts = {
      asks: el("tbody", { class: "asks", data: { testid: "asks" } }),
      bids: el("tbody", { class: "bids", data: { testid: "bids" } }),
      spread: el("td", { colspan: "3", data: { testid: "spread" } }),
    };
    const head = el("thead", {}, el("tr", {}, ...["Price", "Quantity", "Sum"].map((name) => el("th", { scope: "col" }, name))));
    const middle = el("tbody", { class: "middle" }, el("tr", {}, parts.spread));
    const table = el("table", { class: "book", "aria-label": "Order book", data: { testid: "book" } },
      head, parts.asks, middle, parts.bids);
    super(feed, "books", el("section", {}, el("h3", {}, "Order book"), table));
    Object.assign(this, { table, parts });
  }

  draw({ row }) {
    this.table.hidden = row === null;
    if (row === null) return false;
    const asks = summed(row.asks.slice(0, LEVELS));
    const bids = summed(row.bids.slice(0, LEVELS));
    const most = Math.max(asks.at(-1)?.sum ?? 0, bids.at(-1)?.sum ?? 0);
    const digits = Math.max(0, ...[...asks, ...bids].map(({ quantity }) => decimals(quantity)));
    const places = Math.max(0, ...[...asks, ...bids].map(({ price }) => decimals(price)));
    fill(this.parts.asks, asks.reverse(), most, digits, places);
    fill(this.parts.bids, bids, most, digits, places);
    setText(this.parts.spread, spreadOf(row));
  }

  waiting({ symbol }, isAnswered) {
    return isAnswered ? `No order book of ${symbol} yet: is its stream of books running?` : "Loading";
  }
}

function summed(levels) {
  let sum = 0;
  return levels.map(([price, quantity]) => ({ price, quantity, sum: (sum += Number(quantity)) }));
}

function fill(body, levels, most, digits, places) {
  const rows = resize(body, levels.length, () => el("tr", {}, el("td"), el("td"), el("td")));
  levels.forEach(({ price, quantity, sum }, at) => {
    const [first, second, third] = rows[at].children;
    setText(first, grouped(padded(price, places)));
    setText(second, grouped(padded(quantity, digits)));
    setText(third, sum.toFixed(Math.min(digits, 8)).replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, ","));
    rows[at].style.setProperty("--depth", `${most ? (100 * sum) / most : 0}%`);
  });
}

// Equal places make columns that can be compared; the digits are the exchange's.
function padded(number, places) {
  const missing = places - decimals(number);
  return missing > 0 ? number + (number.includes(".") ? "" : ".") + "0".repeat(missing) : number;
}

function spreadOf({ spread, mid, imbalance }) {
  if (spread === null || mid === null) return "One side is empty";
  const points = (10_000 * Number(spread)) / Number(mid);
  const sway = imbalance === null ? "" : ` \u00b7 ${signed(100 * Number(imbalance), 0, "%")} bids`;
  return `Spread ${grouped(spread)} \u00b7 ${points.toFixed(points < 1 ? 2 : 1)} bp${sway}`;
}
