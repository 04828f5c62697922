// The numbers of one candle, and what became of it since. The elements stay; what they say changes.

import { el, resize, setClass, setText } from "./dom.js";
import { correction, direction, grouped, quality, utc } from "./format.js";

export function showLegend(list, row, isLast) {
  const items = row === null ? [] : itemsOf(row, isLast);
  const groups = resize(list, items.length, () => el("div", {}, el("dt"), el("dd")));
  items.forEach(([name, value, className = "", isPlain = false], at) => {
    const [title, text] = groups[at].children;
    setText(title, name);
    setClass(title, isPlain ? "unseen" : "");
    setText(text, value);
    setClass(text, className);
  });
}

function itemsOf(row, isLast) {
  const way = direction(row);
  const why = correction(row);
  return [
    ["Opened", `${utc(row.timestamp, row.interval)} UTC`, "", true],
    ["O", grouped(row.open), way], ["H", grouped(row.high), way], ["L", grouped(row.low), way], ["C", grouped(row.close), way],
    ["Vol", grouped(row.volume)], ["Trades", row.trade_count.toLocaleString("en")],
    isLast ? ["State", row.closed ? "closed" : "open", "", true] : ["Quality", quality(row)[0], "", true],
    ...(why ? [["Corrected", row.was ? `${why}, was ${grouped(row.was.close)}` : why, "corrected"]] : []),
  ];
}
