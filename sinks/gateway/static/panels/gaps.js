// How complete the active market is: its candles on the chart, its open gaps, its months and days.

import { Refusal, get } from "../api.js";
import { el, setText } from "../dom.js";
import { count, moment, sentence } from "../format.js";
import { CALM_MS, perFrame } from "../frames.js";
import { GapList } from "./gap_list.js";

const ASKED_EVERY_MS = 30_000;
const PERIODS_SHOWN = 60;

export const gaps = {
  name: "gaps",
  title: "Gaps",
  key: "g",
  icon: "M2 9h4M12 9h4M8 4l2 10",

  show(body, context) {
    const shown = new Completeness(context);
    body.append(...shown.elements);
    return shown;
  },
};

class Completeness {
  #series = null;
  #soon = perFrame(() => this.#count(), CALM_MS);
  #listener = { load: () => this.#soon(), change: () => this.#soon() };

  constructor({ feed, grid }) {
    this.grid = grid;
    this.list = new GapList(feed);
    this.figures = Object.fromEntries(["proven", "assumed", "gap"].map((name) => [name, el("dd", { data: { testid: `count-${name}` } })]));
    this.bar = el("div", { class: "shares", role: "img" }, ...["proven", "assumed", "gap"].map((name) => el("i", { class: name })));
    const words = { proven: "Proven", assumed: "Assumed", gap: "With gaps" };
    this.title = el("h3");
    const chart = el("section", {}, this.title, this.bar, el("dl", { class: "figures-list" },
      ...Object.entries(words).map(([name, word]) => el("div", { class: name }, el("dt", {}, word), this.figures[name]))));
    this.periods = el("tbody", { data: { testid: "periods" } });
    this.table = el("table", { class: "periods", "aria-label": "Months and days in the warehouse" },
      el("thead", {}, el("tr", {}, ...["Period", "Trades", "Missing", "Quality"].map((name) => el("th", { scope: "col" }, name)))), this.periods);
    this.note = el("p", { class: "note", data: { testid: "periods-note" } });
    const stored = el("section", {}, el("h3", {}, "In the warehouse"), this.table, this.note);
    this.elements = [chart, this.list.element, stored];
    this.timer = setInterval(() => this.#ask(), ASKED_EVERY_MS);
  }

  follow(market) {
    this.#series?.listeners.delete(this.#listener);
    this.#series = this.grid.active.series;
    this.#series.listeners.add(this.#listener);
    this.list.follow(market);
    this.#count();
    this.#ask();
  }

  close() {
    clearInterval(this.timer);
    this.#series?.listeners.delete(this.#listener);
    this.list.leave();
  }

  #count() {
    const counts = { proven: 0, assumed: 0, gap: 0 };
    for (const row of this.#series.rows.values()) counts[row.quality] += 1;
    const all = Math.max(this.#series.rows.size, 1);
    setText(this.title, `${count(this.#series.rows.size)} candles of ${this.#series.interval.text} here`);
    for (const [at, name] of ["proven", "assumed", "gap"].entries()) {
      setText(this.figures[name], `${count(counts[name])} \u00b7 ${((100 * counts[name]) / all).toFixed(1)}%`);
      this.bar.children[at].style.flexGrow = counts[name];
    }
    this.bar.ariaLabel = `${counts.proven} proven, ${counts.assumed} assumed, ${counts.gap} with gaps`;
  }

  async #ask() {
    const { market } = this.#series ?? {};
    if (!market) return;
    try {
      const { data } = await get("/api/v1/integrity", { ...market, limit: PERIODS_SHOWN });
      if (market === this.#series?.market) this.#showPeriods(data.reverse());
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#showPeriods([], error.message);
    }
  }

  #showPeriods(rows, reason = "") {
    this.periods.replaceChildren(...rows.map((row) => el("tr", { title: `Checked ${moment(row.checked_ms)}` },
      el("th", { scope: "row" }, row.period === "month" ? row.period_start.slice(0, 7) : row.period_start),
      el("td", {}, count(Number(row.count))), el("td", { class: Number(row.gaps_count) ? "missing" : "quiet" }, count(Number(row.gaps_count))),
      el("td", {}, row.quality))));
    this.table.hidden = rows.length === 0;
    this.note.hidden = rows.length > 0;
    setText(this.note, reason ? sentence(reason) : "No month or day of it has been checked yet.");
  }
}
