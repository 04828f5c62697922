// What the gateway does now: trades a second, latency, and whether the parts behind it answer.

import { get } from "../api.js";
import { el, setText } from "../dom.js";
import { bytes, count, duration, sentence } from "../format.js";
import { asking } from "./asking.js";
import { Sparkline } from "./sparkline.js";

const ASKED_EVERY_MS = 5_000;

export const health = {
  name: "health",
  title: "Health",
  key: "h",
  icon: "M2 9h3l2-5 4 10 2-5h3",

  show(body, { status }) {
    const shown = new Health(status);
    body.append(...shown.elements);
    return shown;
  },
};

class Health {
  #draw = () => this.#second();

  constructor(status) {
    this.status = status;
    this.rate = new Sparkline("Trades a second", [({ trades }) => trades], (value) => value.toLocaleString("en"));
    this.latency = new Sparkline("Latency, median and 99th percentile", [({ p50 }) => p50, ({ p99 }) => p99], (value) => `${value} ms`);
    this.facts = el("dl", { class: "facts", data: { testid: "health-facts" } });
    this.tables = el("tbody", { data: { testid: "health-tables" } });
    this.note = el("p", { class: "note", data: { testid: "health-note" } });
    this.stored = el("section", {}, el("h3", {}, "Warehouse"), el("table", { class: "periods", "aria-label": "Tables of the warehouse" },
      el("thead", {}, el("tr", {}, ...["Table", "Rows", "Size"].map((name) => el("th", { scope: "col" }, name)))), this.tables));
    this.elements = [this.rate.element, this.latency.element, el("section", {}, el("h3", {}, "Parts"), this.facts, this.note), this.stored];
    status.addEventListener("change", this.#draw);
    this.asking = asking(ASKED_EVERY_MS, {
      ask: () => Promise.all([get("/api/v1/monitoring/health"), get("/api/v1/monitoring/system-stats")]),
      show: ([facts, stats]) => this.#show(facts, stats),
      fail: (words) => { this.note.hidden = false; setText(this.note, sentence(words)); },
    });
    this.#second();
  }

  close() {
    this.status.removeEventListener("change", this.#draw);
    this.asking.stop();
  }

  #second() {
    this.rate.draw(this.status.seconds);
    this.latency.draw(this.status.seconds);
  }

  #show(facts, { process, machine, gateway, clickhouse }) {
    this.note.hidden = true;
    const said = [
      ["Gateway", facts.status, facts.status === "healthy"],
      ["Kafka", facts.kafka_status, facts.kafka_status === "connected"],
      ["ClickHouse", facts.clickhouse_status, facts.clickhouse_status === "connected"],
      ["Disk free", `${facts.disk_free_percent}%`, facts.disk_free_percent > 10],
      ["Up for", duration(1_000 * facts.uptime_seconds)],
      ["Active symbols", count(facts.active_tickers)],
      ["Trades stored", count(facts.trades_processed_total)],
      ["Viewers", count(gateway.websocket_connections)],
      ["Streams", count(gateway.streams)],
      ["Series in memory", `${count(gateway.series)} \u00b7 ${bytes(gateway.history_bytes)}`],
      ["Load, processors", `${machine.load_1m.toFixed(2)} \u00b7 ${machine.cpus}`],
      ["Processor time", duration(1_000 * process.cpu_seconds)],
      ["Memory, peak", bytes(process.memory_peak_mb * 2 ** 20)],
    ];
    this.facts.replaceChildren(...said.map(([name, value, isWell]) =>
      el("div", {}, el("dt", {}, name), el("dd", { class: isWell === undefined ? null : isWell ? "well" : "ill" }, value))));
    this.stored.hidden = !clickhouse?.length;
    this.tables.replaceChildren(...(clickhouse ?? []).map(({ table, rows, bytes: size }) => el("tr", {},
      el("th", { scope: "row" }, table), el("td", {}, count(Number(rows))), el("td", {}, bytes(Number(size))))));
  }
}
