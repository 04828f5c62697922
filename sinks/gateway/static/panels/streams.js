// Which streams run, in which state; operators add, remove and turn their knobs.

import { Refusal, call, get } from "../api.js";
import { el, setText } from "../dom.js";
import { count, moment, sentence } from "../format.js";
import { session } from "../session.js";
import { asking } from "./asking.js";
import { IntervalList } from "./interval_list.js";
import { StreamForm } from "./stream_form.js";

const ASKED_EVERY_MS = 2_000;
const SHOWN_MAX = 200;
const KNOBS = { enabled: "Streamed", db_writes_enabled: "Stored", redis_publishes_enabled: "Redis" };

export const streams = {
  name: "streams",
  title: "Streams",
  key: "s",
  icon: "M2 5c3-4 5 4 8 0s4 1 6 0M2 12c3-4 5 4 8 0s4 1 6 0",

  show(body, context) {
    const shown = new Streams(context);
    body.append(...shown.elements);
    return { close: () => shown.close() };
  },
};

class Streams {
  #texts = "";

  constructor({ markets }) {
    this.say = el("p", { class: "note said", role: "status", data: { testid: "streams-said" } });
    this.search = el("input", { type: "search", placeholder: "Filter: symbol, exchange, kind, state", "aria-label": "Filter streams", data: { testid: "streams-filter" }, oninput: () => this.#draw() });
    this.list = el("ul", { class: "streams", data: { testid: "streams" } });
    this.title = el("h3");
    this.form = new StreamForm((words) => this.#done(words));
    this.intervals = new IntervalList(markets, (words) => setText(this.say, words));
    this.elements = [this.form.element, this.say,
      el("section", {}, this.title, this.search, this.list), this.intervals.element];
    this.list.addEventListener("click", (event) => this.#click(event.target.closest("button")));
    this.asking = asking(ASKED_EVERY_MS, {
      ask: () => Promise.all([get("/streams", { limit: 1_000 }), get("/api/v1/intervals")]),
      show: ([{ streams: all, count: many }, { intervals }]) => {
        [this.all, this.many] = [all, many];
        this.#draw();
        this.intervals.show(intervals);
      },
      fail: (words) => setText(this.say, sentence(words)),
    });
  }

  close() {
    this.asking.stop();
    this.form.close();
  }

  #done(words) {
    setText(this.say, words);
    this.asking.now();
  }

  #draw() {
    if (!this.all) return;
    const words = this.search.value.trim().toLowerCase().split(/\s+/);
    const found = this.all.filter((each) => words.every((word) => textOf(each).includes(word)));
    const texts = JSON.stringify([found, session.caller]);
    setText(this.title, `${count(found.length)} of ${count(this.many)} streams`);
    if (texts === this.#texts) return; // what has the focus stays
    this.#texts = texts;
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.testid : null;
    this.list.replaceChildren(...found.slice(0, SHOWN_MAX).map(item));
    if (found.length > SHOWN_MAX) this.list.append(el("li", { class: "note" }, `${count(found.length - SHOWN_MAX)} more: filter to see them.`));
    if (focused) this.list.querySelector(`[data-testid="${CSS.escape(focused)}"]`)?.focus();
  }

  async #click(button) {
    const stream = button && this.all.find((each) => nameOf(each) === button.dataset.stream);
    if (!stream) return;
    const { exchange, channel, symbol, kind, transport } = stream;
    const { knob } = button.dataset;
    button.disabled = true;
    try {
      if (knob) {
        const path = ["streams", exchange, symbol, kind, transport, "knobs"].map(encodeURIComponent).join("/");
        await call("PATCH", `/${path}?channel=${channel}`, { [knob]: !stream[knob] });
        this.#done(`${KNOBS[knob]} is ${stream[knob] ? "off" : "on"} for ${kind} of ${symbol}.`);
      } else {
        await call("DELETE", "/streams", { exchange, channel, symbol, kind, transport });
        this.#done(`${kind} of ${symbol} (${exchange} ${channel}) ends.`);
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      button.disabled = false;
      setText(this.say, sentence(error.message));
    }
  }
}

function nameOf({ exchange, channel, symbol, kind, transport }) {
  return [exchange, channel, symbol, kind, transport].join(" ");
}

function textOf(stream) {
  return `${nameOf(stream)} ${stream.state ?? "unknown"}`.toLowerCase();
}

function item(stream) {
  const { exchange, channel, symbol, kind, state, detail, since_ms: sinceMs } = stream;
  const name = nameOf(stream);
  const about = `${kind} of ${symbol}, ${exchange} ${channel}`;
  const knobs = Object.entries(KNOBS).filter(([knob]) => kind === "trades" || knob !== "redis_publishes_enabled");
  const controls = session.may("operator") ? [
    ...knobs.map(([knob, title]) => el("button", {
      type: "button", class: "knob", "aria-pressed": String(stream[knob]), "aria-label": `${title}: ${about}`,
      data: { stream: name, knob, testid: `${knob}-${name}` } }, title)),
    el("button", { type: "button", class: "icon", "aria-label": `Remove ${about}`, title: "Remove", data: { stream: name, testid: `remove-${name}` } }, "\u00d7"),
  ] : [];
  return el("li", { data: { state: state ?? "unknown", testid: `stream-${name}` } },
    el("div", { class: "who" }, el("strong", {}, symbol), el("span", { class: "quiet" }, `${exchange} \u00b7 ${channel} \u00b7 ${kind}`),
      el("span", { class: "state", title: [detail, sinceMs && `since ${moment(sinceMs)}`].filter(Boolean).join(", ") || null }, state ?? "not told yet")),
    detail && el("p", { class: "detail" }, detail), controls.length ? el("div", { class: "controls" }, ...controls) : null);
}
