// The last 24 hours in four figures.

import { el, setClass, setText } from "../dom.js";
import { compact, grouped, signed } from "../format.js";
import { Watching } from "./watching.js";

export class Day extends Watching {
  constructor(feed) {
    const figure = (name) => el("dd", { data: { testid: `day-${name}` } }, "\u2013");
    const figures = { change: figure("change"), high: figure("high"), low: figure("low"), volume: figure("volume") };
    const list = el("dl", { class: "day" }, ...Object.entries({ change: "24 h", high: "High", low: "Low", volume: "Volume" })
      .map(([name, title]) => el("div", {}, el("dt", {}, title), figures[name])));
    super(feed, "stats", el("section", { "aria-label": "Last 24 hours" }, list));
    this.figures = figures;
  }

  draw({ row }) {
    const { change, high, low, volume } = this.figures;
    const moved = row?.change_percent ?? null;
    setText(change, moved === null ? "\u2013" : signed(Number(moved), 2, "%"));
    setClass(change, moved === null ? "" : Number(moved) < 0 ? "down" : "up");
    setText(high, row?.high_price ? grouped(row.high_price) : "\u2013");
    setText(low, row?.low_price ? grouped(row.low_price) : "\u2013");
    setText(volume, row ? compact(row.volume) : "\u2013");
  }
}
