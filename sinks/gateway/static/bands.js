// Drawn under the candles: where trades are missing, and a strip that shows how each candle is proven.

const STRIP_PX = 3;

// A primitive of Lightweight Charts: it is asked to draw whenever the chart is.
export class Bands {
  #chart = null;
  #redraw = () => {};
  #rows = [];
  #spans = [];
  #views = [{ zOrder: () => "bottom", renderer: () => ({ draw: (target) => this.#draw(target) }) }];
  colors = {};

  attached({ chart, requestUpdate }) {
    this.#chart = chart;
    this.#redraw = requestUpdate;
  }

  // rows: sorted by time, one for each bar of the chart; spans: {from_ms, to_ms} of open gaps.
  show(rows, spans = this.#spans) {
    this.#rows = rows;
    this.#spans = spans;
    this.#redraw();
  }

  paneViews() {
    return this.#views;
  }

  #draw(target) {
    const scale = this.#chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (range === null || this.#rows.length === 0) return;
    target.useBitmapCoordinateSpace(({ context, bitmapSize, horizontalPixelRatio: ratio, verticalPixelRatio }) => {
      const width = (scale.logicalToCoordinate(1) - scale.logicalToCoordinate(0)) * ratio;
      const left = (index) => Math.round(scale.logicalToCoordinate(index) * ratio - width / 2);
      const box = (from, to, y, height, color) => {
        context.fillStyle = color;
        context.fillRect(left(from), y, left(to + 1) - left(from), height);
      };
      const strip = Math.round(STRIP_PX * verticalPixelRatio);
      for (const [from, to, row] of this.#runs(range)) {
        if (row.quality === "gap") box(from, to, 0, bitmapSize.height, this.colors["gap-soft"]);
        box(from, to, bitmapSize.height - strip, strip, this.colors[row.quality] ?? this.colors.assumed);
      }
      for (const { from_ms: fromMs, to_ms: toMs } of this.#spans) {
        if (toMs && toMs < this.#rows[0].timestamp) continue;
        const [from, to] = [this.#indexAt(fromMs), this.#indexAt(toMs || Infinity)];
        box(from, to, 0, bitmapSize.height, this.colors["gap-soft"]);
      }
    });
  }

  // Neighbours of one quality are one box.
  *#runs({ from, to }) {
    const end = Math.min(Math.ceil(to), this.#rows.length - 1);
    let begin = Math.max(Math.floor(from), 0);
    for (let at = begin; at <= end; at++) {
      if (at < end && this.#rows[at + 1].quality === this.#rows[begin].quality) continue;
      yield [begin, at, this.#rows[begin]];
      begin = at + 1;
    }
  }

  // The last bar that opens at or before a time.
  #indexAt(ms) {
    let [low, high] = [0, this.#rows.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#rows[middle].timestamp <= ms) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
