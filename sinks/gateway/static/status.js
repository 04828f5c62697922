// The connection and the figures that the gateway tells once a second.

import { byId, setText } from "./dom.js";
import { count, duration } from "./format.js";
import { setClock } from "./windows.js";

const SECONDS_KEPT = 300;

export class Status extends EventTarget {
  seconds = []; // {trades_per_s, p50, p99}, the newest last
  newest = null;

  constructor(stream) {
    super();
    this.stream = stream;
  }

  take(stats) {
    setClock(stats.time_ms);
    this.newest = stats;
    const { p50, p99 } = stats.latency_ms;
    this.seconds.push({ trades: stats.trades_per_s, p50, p99 });
    if (this.seconds.length > SECONDS_KEPT) this.seconds.shift();
    setText(byId("rate"), stats.trades_per_s.toLocaleString("en", { maximumFractionDigits: stats.trades_per_s < 10 ? 1 : 0 }));
    setText(byId("latency"), p50 === null ? "quiet" : `${p50} ms / ${p99} ms`);
    setText(byId("symbols"), count(stats.symbols));
    setText(byId("clients"), count(stats.clients));
    this.dispatchEvent(new Event("change"));
  }

  show() {
    const { name, retryAt, reason } = this.stream.state;
    const state = name === "live" && this.newest?.kafka === "away" ? "silent" : name;
    const inMs = retryAt - Date.now();
    const words = { connecting: "Connecting", live: "Live", silent: "No data: Kafka is away", locked: "Sign in",
      reconnecting: "Reconnecting" };
    byId("connection").dataset.state = state;
    byId("connection").title = reason;
    document.body.dataset.stale = String(state !== "live");
    setText(byId("connection-text"), words[state]);
    setText(byId("connection-in"), state === "reconnecting" && inMs > 0 ? `in ${duration(inMs)}` : "");
  }
}
