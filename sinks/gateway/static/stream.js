// One WebSocket that comes back by itself: exponential backoff with jitter, and a watchdog,
// because a dead network says nothing. The gateway speaks once a second at least.

import { parseMessage } from "./format.js";

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 15_000;
const SILENCE_MS = 6_000;

export class Stream {
  #socket = null;
  #failures = 0;
  #wanted = null;
  #watchdog = 0;
  #retry = 0;
  state = "connecting";

  constructor(url, { onMessage, onState }) {
    this.url = url;
    this.onMessage = onMessage;
    this.onState = onState;
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  connect() {
    clearTimeout(this.#retry);
    this.onState({ state: this.#failures ? "reconnecting" : "connecting", retryAt: 0 });
    const socket = (this.#socket = new WebSocket(this.url));
    socket.onopen = () => {
      this.#alive();
      if (this.#wanted) this.#send("subscribe", this.#wanted);
    };
    socket.onmessage = (event) => {
      if (socket !== this.#socket) return;
      this.#alive();
      if (this.state !== "live") this.#live();
      this.onMessage(parseMessage(event.data));
    };
    socket.onclose = (event) => socket === this.#socket && this.#lost(event.reason);
  }

  // Follow one series instead of the one before.
  follow(series) {
    const before = this.#wanted;
    this.#wanted = series;
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    if (before) this.#send("unsubscribe", before);
    this.#send("subscribe", series);
  }

  #send(action, { symbol, exchange, channel, timeframe, initial_candles }) {
    const subscriptions = [{ symbol, exchange, channel, timeframes: [{ timeframe, initial_candles }] }];
    this.#socket.send(JSON.stringify({ action, subscriptions }));
  }

  #live() {
    this.#failures = 0;
    this.state = "live";
    this.onState({ state: "live", retryAt: 0 });
  }

  #alive() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#lost("no word from the gateway"), SILENCE_MS);
  }

  #lost(reason) {
    clearTimeout(this.#watchdog);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.state = "reconnecting";
    const delayMs = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures++) * (0.5 + Math.random() / 2);
    this.onState({ state: "reconnecting", retryAt: Date.now() + delayMs, reason });
    this.#retry = setTimeout(() => this.connect(), delayMs);
  }

  #hurry() {
    if (this.#socket === null) this.connect();
  }
}
