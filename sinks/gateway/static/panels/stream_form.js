// The form in which operators add a stream: what each exchange has, and which symbols it lists.

import { Refusal, call, get } from "../api.js";
import { el } from "../dom.js";
import { sentence } from "../format.js";
import { session } from "../session.js";

const SUGGESTED_MAX = 20;
const TYPED_MS = 200;

export class StreamForm {
  #capabilities = {};
  #typed = 0;
  #reload = () => this.#load();

  // onSaid(words): what became of it.
  constructor(onSaid) {
    this.onSaid = onSaid;
    const choice = (name, label) => el("select", { name, "aria-label": label, data: { testid: `add-${name}` }, onchange: () => this.#fill() });
    [this.exchange, this.channel, this.kind] = [choice("exchange", "Exchange"), choice("channel", "Channel"), choice("kind", "Kind")];
    this.symbol = el("input", { name: "symbol", placeholder: "Symbol", "aria-label": "Symbol", list: "add-symbols", maxlength: 64, required: true,
      autocomplete: "off", autocapitalize: "characters", spellcheck: "false", data: { testid: "add-symbol" }, oninput: () => this.#suggest() });
    this.suggestions = el("datalist", { id: "add-symbols" });
    this.near = el("div", { class: "near", data: { testid: "add-near" } });
    this.element = el("form", { class: "add", "aria-label": "Add a stream", novalidate: true, data: { testid: "add" }, onsubmit: (event) => this.#submit(event) },
      this.exchange, this.channel, this.kind, this.symbol, this.suggestions,
      el("button", { type: "submit", class: "primary", data: { testid: "add-submit" } }, "Add"), this.near);
    session.addEventListener("change", this.#reload);
    this.#load();
  }

  close() {
    clearTimeout(this.#typed);
    session.removeEventListener("change", this.#reload);
  }

  async #load() {
    this.element.hidden = !session.may("operator");
    try {
      this.#capabilities = await get("/streams/capabilities");
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return this.onSaid(sentence(error.message));
    }
    this.#fill();
  }

  #fill() {
    options(this.exchange, Object.keys(this.#capabilities));
    options(this.channel, Object.keys(this.#capabilities[this.exchange.value] ?? {}), "linear");
    options(this.kind, Object.keys(this.#capabilities[this.exchange.value]?.[this.channel.value] ?? {}), "trades");
  }

  #suggest() {
    clearTimeout(this.#typed);
    this.#typed = setTimeout(async () => {
      const asked = { exchange: this.exchange.value, channel: this.channel.value, search: this.symbol.value.trim(), limit: SUGGESTED_MAX };
      const { instruments } = await get("/instruments", asked).catch(() => ({ instruments: [] }));
      this.suggestions.replaceChildren(...instruments.map(({ symbol, unified }) => el("option", { value: symbol }, unified)));
    }, TYPED_MS);
  }

  async #submit(event) {
    event.preventDefault();
    const { exchange, channel, kind, symbol } = Object.fromEntries(new FormData(this.element));
    this.near.replaceChildren();
    if (!symbol.trim()) return this.onSaid("Type a symbol first.");
    try {
      const added = await call("POST", "/streams", { exchange, channel, kind, symbol: symbol.trim() });
      this.symbol.value = "";
      this.onSaid(`${kind} of ${added.symbol ?? symbol} (${exchange} ${channel}) is wanted from now on.`);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.onSaid(sentence(error.message));
      this.near.replaceChildren(...error.near.map((name) => el("button", {
        type: "button", class: "chip", onclick: () => { this.symbol.value = name; this.near.replaceChildren(); this.symbol.focus(); },
      }, name)));
    }
  }
}

function options(select, values, preferred) {
  const before = select.value;
  const wanted = [before, preferred, values[0]].find((value) => values.includes(value)) ?? "";
  if ([...select.options].map(({ value }) => value).join() !== values.join()) {
    select.replaceChildren(...values.map((value) => el("option", { value }, value)));
  }
  select.value = wanted;
}
