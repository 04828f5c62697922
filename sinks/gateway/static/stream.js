// One WebSocket that comes back by itself: exponential backoff with jitter, and a watchdog,
// because a dead network says nothing. The gateway speaks once a second at least.

import { parseMessage } from "./messages.js";

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 15_000;
const SILENCE_MS = 6_000;

export class Stream {
  #socket = null;
  #failures = 0;
  #watchdog = 0;
  #retry = 0;
  #attempt = 0;
  state = { name: "connecting", retryAt: 0, reason: "" };

  // session: who we are; onOpen: it may be spoken to; onState: see this.state.
  constructor(url, { session, onOpen, onMessage, onState }) {
    Object.assign(this, { url, session, onOpen, onMessage, onState });
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN && this.state.name === "live";
  }

  async connect() {
    clearTimeout(this.#retry);
    this.#retry = 0;
    const attempt = ++this.#attempt;
    this.#become(this.#failures ? "reconnecting" : "connecting");
    try {
      const isLetIn = await this.session.check();
      if (attempt !== this.#attempt) return;
      if (isLetIn) this.#open();
      else this.#become("locked", 0, this.session.reason);
    } catch (error) {
      if (attempt === this.#attempt) this.#lost(error.message);
    }
  }

  // Begin anew, as somebody else.
  restart() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    clearTimeout(this.#watchdog);
    this.#failures = 0;
    this.connect();
  }

  send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  #open() {
    const socket = (this.#socket = new WebSocket(this.url));
    const opening = this.session.opening();
    this.#alive();
    socket.onopen = () => {
      this.#alive();
      if (opening) this.send(opening);
      else this.#live();
    };
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return;
      this.#alive();
      const message = parseMessage(data);
      if (message.type === "authenticated") this.#live();
      else this.onMessage(message);
    };
    socket.onclose = ({ reason }) => {
      if (socket === this.#socket) this.#lost(reason);
    };
  }

  #live() {
    this.#become("live");
    this.onOpen();
  }

  #alive() {
    if (this.state.name === "live") this.#failures = 0;
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#lost("no word from the gateway"), SILENCE_MS);
  }

  #lost(reason) {
    clearTimeout(this.#watchdog);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    const delayMs = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures++) * (0.5 + Math.random() / 2);
    this.#become("reconnecting", Date.now() + delayMs, reason);
    this.#retry = setTimeout(() => this.connect(), delayMs);
  }

  #become(name, retryAt = 0, reason = "") {
    this.state = { name, retryAt, reason };
    this.onState(this.state);
  }

  #hurry() {
    if (this.#socket === null && this.#retry) this.connect();
  }
}
