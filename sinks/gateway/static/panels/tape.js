// The last trades, the newest on top. Only rows that are new are made; old ones leave at the end.

import { el } from "../dom.js";
import { grouped, timeOfDay } from "../format.js";
import { Watching } from "./watching.js";

const SHOWN_MAX = 60;

export class Tape extends Watching {
  #shown = 0; // of the store's total
  #store = null;

  constructor(feed) {
    const body = el("tbody", { data: { testid: "tape" } });
    const head = el("thead", {}, el("tr", {}, ...["Time", "Price", "Quantity"].map((name) => el("th", { scope: "col" }, name))));
    const table = el("table", { class: "tape", "aria-label": "Trades" }, head, body);
    super(feed, "trades", el("section", { class: "fill" }, el("h3", {}, "Trades"), table));
    Object.assign(this, { table, body });
  }

  draw(store) {
    const isAnew = store !== this.#store || store.isAnew;
    store.isAnew = false;
    if (isAnew) {
      this.body.replaceChildren();
      this.#shown = 0;
      this.#store = store;
    }
    const fresh = Math.min(store.total - this.#shown, store.rows.length, SHOWN_MAX);
    if (fresh > 0) this.body.prepend(...store.rows.slice(-fresh).reverse().map(line));
    this.#shown = store.total;
    while (this.body.children.length > SHOWN_MAX) this.body.lastElementChild.remove();
    this.table.hidden = store.rows.length === 0;
    return store.rows.length > 0;
  }

  waiting({ symbol }, isAnswered) {
    return isAnswered ? `No trade of ${symbol} yet.` : "Loading";
  }
}

function line({ ts, price, qty, side }) {
  const way = side > 0 ? "up" : "down";
  return el("tr", { class: way, title: side > 0 ? "The taker bought" : "The taker sold" },
    el("td", {}, ts ? timeOfDay(ts) : "\u2013"), el("td", {}, grouped(price)), el("td", {}, grouped(qty)));
}
