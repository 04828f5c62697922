// The gaps of a market as they are found and mended, the newest first.

import { el } from "../dom.js";
import { count, duration, moment, timeOfDay } from "../format.js";
import { Watching } from "./watching.js";

const SHOWN_MAX = 40;
const STATES = { found: "open", recovering: "being fetched", recovered: "mended", unrecoverable: "lost" };

export class GapList extends Watching {
  constructor(feed) {
    const list = el("ul", { class: "gap-list", data: { testid: "gap-list" } });
    super(feed, "gaps", el("section", {}, el("h3", {}, "Gaps of the stream"), list));
    this.list = list;
  }

  draw({ rows }) {
    const newest = rows.toReversed().slice(0, SHOWN_MAX);
    this.list.replaceChildren(...newest.map(item));
    return newest.length > 0;
  }

  waiting(_, isAnswered) {
    return isAnswered ? "None: nothing was missing lately." : "Loading";
  }
}

function item(gap) {
  const ofIds = gap.first_id !== undefined;
  const trades = gap.missing === 1 ? "1 trade" : `${count(gap.missing)} trades`;
  const what = ofIds ? (gap.missing ? trades : "no trade left") : `${gap.kind}: ${gap.reason}`;
  const length = gap.to_ms > gap.from_ms ? ` \u00b7 ${duration(gap.to_ms - gap.from_ms)}` : "";
  const where = ofIds ? `Ids ${gap.first_id} to ${gap.last_id}` : gap.detail;
  return el("li", { data: { state: gap.state }, title: where || null },
    el("span", { class: "state" }, STATES[gap.state] ?? gap.state), el("span", {}, what),
    el("time", { datetime: new Date(gap.from_ms).toISOString(), title: moment(gap.from_ms) }, timeOfDay(gap.from_ms) + length));
}
