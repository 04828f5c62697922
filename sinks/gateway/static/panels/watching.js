// A part of a panel that shows one kind of the active market, drawn once a frame.

import { el, setText } from "../dom.js";
import { sentence } from "../format.js";
import { CALM_MS, perFrame } from "../frames.js";

export class Watching {
  kind = null;
  #soon = perFrame(() => this.kind && this.#draw(), CALM_MS);

  constructor(feed, name, element) {
    Object.assign(this, { feed, name, element });
    this.note = el("p", { class: "note", data: { testid: `${name}-note` } });
    element.append(this.note);
  }

  follow(market) {
    if (this.kind && ["exchange", "channel", "symbol"].every((name) => this.kind.market[name] === market[name])) return;
    this.leave();
    this.kind = this.feed.watch(this.name, market, this.#soon);
    this.#draw();
  }

  leave() {
    if (this.kind) this.feed.unwatch(this.kind, this.#soon);
    this.kind = null;
  }

  #draw() {
    const isEmpty = this.draw(this.kind.store) === false;
    const { error, hint, isAnswered, market } = this.kind;
    const words = error ? [error, hint].map(sentence).join(" ") : isEmpty ? (hint && sentence(hint)) || this.waiting(market, isAnswered) : "";
    setText(this.note, words);
    this.note.hidden = !words;
  }

  waiting({ symbol }, isAnswered) {
    return isAnswered ? `Nothing of ${symbol} yet.` : "Loading";
  }
}
