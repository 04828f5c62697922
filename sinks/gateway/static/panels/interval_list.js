// Which intervals candles are made of; operators add and remove them.

import { Refusal, call } from "../api.js";
import { el, setText } from "../dom.js";
import { sentence } from "../format.js";
import { session } from "../session.js";

export class IntervalList {
  #texts = "";

  constructor(markets, say) {
    Object.assign(this, { markets, say });
    this.title = el("h3");
    this.list = el("ul", { class: "chips", data: { testid: "made" }, onclick: (event) => this.#remove(event.target.closest("button")) });
    this.input = el("input", { name: "interval", placeholder: "173m, 1w@mon, fibonacci", "aria-label": "An interval to make", maxlength: 64,
      autocomplete: "off", spellcheck: "false", data: { testid: "make-interval" } });
    this.form = el("form", { class: "inline", "aria-label": "Make an interval", onsubmit: (event) => this.#add(event) },
      this.input, el("button", { type: "submit", class: "primary", data: { testid: "make-submit" } }, "Make"));
    this.element = el("section", {}, this.title, this.form, this.list);
  }

  show(intervals) {
    const isOperator = session.may("operator");
    const texts = JSON.stringify([intervals.map(({ interval }) => interval), isOperator]);
    if (texts === this.#texts) return;
    this.#texts = texts;
    setText(this.title, `${intervals.length} intervals are made`);
    this.form.hidden = !isOperator;
    this.list.replaceChildren(...intervals.map(({ interval }) => el("li", {}, interval, isOperator && el("button", {
      type: "button", "aria-label": `Make no more ${interval} candles`, title: "Make no more", data: { interval, testid: `unmake-${interval}` } }, "\u00d7"))));
  }

  async #add(event) {
    event.preventDefault();
    const interval = this.input.value.trim();
    if (await this.#change("POST", interval, `${interval} is made from now on.`)) this.input.value = "";
  }

  #remove(button) {
    const { interval } = button?.dataset ?? {};
    if (interval) this.#change("DELETE", interval, `${interval} is made no more; stored candles stay.`);
  }

  async #change(method, interval, words) {
    if (!interval) return false;
    try {
      await call(method, "/api/v1/intervals", { interval });
      this.say(words);
      this.markets.load();
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.say(sentence(error.message));
      return false;
    }
  }
}
