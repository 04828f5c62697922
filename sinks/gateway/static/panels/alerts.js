// The rules of alerts, when each was told last, and a test of its targets for operators.

import { Refusal, call, get } from "../api.js";
import { el, setText } from "../dom.js";
import { count, moment, sentence } from "../format.js";
import { session } from "../session.js";
import { asking } from "./asking.js";

const ASKED_EVERY_MS = 5_000;
const HIDDEN = ["data_type", "id", "to", "enabled", "changed_ms", "fired_ms", "active", "crossings", "waiting", "note", "cooldown_s"];

export const alerts = {
  name: "alerts",
  title: "Alerts",
  key: "a",
  icon: "M9 2v1.5M4.5 13V8.5a4.5 4.5 0 0 1 9 0V13l1.5 1H3zM7.5 16h3",

  show(body) {
    const shown = new Alerts();
    body.append(...shown.elements);
    return shown;
  },
};

class Alerts {
  #texts = "";
  #tests = new Map(); // id: what became of the last test

  constructor() {
    this.list = el("ul", { class: "alerts", data: { testid: "alerts" }, onclick: (event) => this.#test(event.target.closest("button")) });
    this.note = el("p", { class: "note", role: "status", data: { testid: "alerts-note" } });
    this.elements = [this.note, this.list];
    this.asking = asking(ASKED_EVERY_MS, {
      ask: () => get("/api/v1/alerts"),
      show: ({ alerts: all }) => { this.all = all; this.#draw(); },
      fail: (words) => this.#say(sentence(words)),
    });
  }

  close() {
    this.asking.stop();
  }

  #say(words) {
    setText(this.note, words);
    this.note.hidden = !words;
  }

  #draw() {
    this.#say(this.all.length ? "" : "No rules yet. `fibstream alerts add` or POST /api/v1/alerts writes one.");
    const texts = JSON.stringify([this.all, [...this.#tests], session.caller]);
    if (texts === this.#texts) return;
    this.#texts = texts;
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.testid : null;
    this.list.replaceChildren(...this.all.map((rule) => item(rule, this.#tests.get(rule.id))));
    if (focused) this.list.querySelector(`[data-testid="${CSS.escape(focused)}"]`)?.focus();
  }

  async #test(button) {
    const { id } = button?.dataset ?? {};
    if (!id) return;
    this.#tests.set(id, "Testing");
    this.#draw();
    try {
      const { deliveries } = await call("POST", `/api/v1/alerts/${encodeURIComponent(id)}/test`);
      this.#tests.set(id, deliveries.map(({ to, ok, reason }) => `${to}: ${ok ? "delivered" : reason}`).join("; "));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#tests.set(id, sentence(error.message));
    }
    this.#draw();
  }
}

function item(rule, tested) {
  const { id, data_type: kind, enabled, active, waiting, crossings, fired_ms: firedMs, to, note } = rule;
  const state = !enabled ? "off" : active.length ? "crossed" : "armed";
  const said = Object.entries(rule).filter(([name]) => !HIDDEN.includes(name)).map(([name, value]) => `${name} ${value}`).join(" \u00b7 ");
  return el("li", { data: { state, testid: `alert-${id}` } },
    el("div", { class: "who" }, el("strong", {}, id), el("span", { class: "quiet" }, kind), el("span", { class: "state" }, state)),
    note && el("p", {}, note),
    el("p", { class: "quiet" }, said),
    el("p", { class: "quiet" }, told(crossings, firedMs, waiting)),
    el("div", { class: "controls" }, el("span", { class: "quiet targets" }, to.join(", ")),
      session.may("operator") && el("button", { type: "button", class: "ghost", data: { id, testid: `test-${id}` } }, "Test")),
    tested && el("p", { class: "tested", role: "status" }, tested));
}

function told(crossings, firedMs, waiting) {
  const times = crossings === 1 ? "once" : `${count(crossings)} times`;
  const said = crossings ? `Crossed ${times}, told last ${moment(firedMs)}` : "Has not crossed yet";
  return waiting ? `${said}; ${count(waiting)} not delivered yet` : said;
}
