// The marks beside candles: which lack trades, and which were corrected. Kept by time, so that a
// change of one candle asks nothing of the others.

import { correction } from "./format.js";

export class Marks {
  #byTime = new Map();

  // markers: the plugin of Lightweight Charts that draws them.
  constructor(markers) {
    this.markers = markers;
  }

  // All of them anew, in these colours.
  show(rows, colors) {
    this.colors = colors;
    this.#byTime.clear();
    this.#take(rows);
    this.#draw();
  }

  change(rows) {
    if (this.#take(rows)) this.#draw();
  }

  // Whether any is another one than before.
  #take(rows) {
    let isChanged = false;
    for (const row of rows) {
      const marks = this.#of(row);
      if (shapes(marks) === shapes(this.#byTime.get(row.timestamp) ?? [])) continue;
      this.#byTime.set(row.timestamp, marks);
      isChanged = true;
    }
    return isChanged;
  }

  #draw() {
    this.markers.setMarkers([...this.#byTime.values()].flat().sort((a, b) => a.time - b.time));
  }

  #of(row) {
    const marks = [];
    if (row.quality === "gap") marks.push(mark(row, "belowBar", "square", this.colors.gap));
    if (correction(row)) marks.push(mark(row, "aboveBar", "circle", this.colors.warn));
    return marks;
  }
}

function shapes(marks) {
  return marks.map(({ shape }) => shape).join();
}

function mark({ timestamp }, position, shape, color) {
  return { time: timestamp / 1_000, position, shape, color, size: 0.5 };
}
