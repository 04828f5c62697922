// Who wants what of the stream. Several may want the same series or kind: it is subscribed once.
// Answers come in the order in which was asked, so each is told to whom it belongs.

import { Kind, kindId } from "./kinds.js";
import { Series, idOf } from "./series.js";

export class Feed {
  #series = new Map();
  #kinds = new Map();
  #asked = []; // what each unanswered message was about: {about, candles} of each
  #news = new Set(); // series to subscribe with the next message
  #position = {}; // partition: offset, up to which everything that was closed has come
  stream = null;

  // The candles of a series from now on; leave() it with the same listener.
  follow(market, interval, candles, listener) {
    const id = idOf(market, interval);
    const series = this.#series.get(id) ?? new Series(market, interval);
    this.#series.set(id, series);
    series.listeners.add(listener);
    if (candles > series.candles) {
      series.candles = candles;
      this.#soon(series);
    }
    return series;
  }

  leave(series, listener) {
    series.listeners.delete(listener);
    if (series.listeners.size || !this.#series.delete(series.id)) return;
    if (this.#news.delete(series) && !series.isAsked) return;
    this.#ask("unsubscribe", [entry(series)], []);
  }

  // A kind of a market; its listener is called when something changed.
  watch(name, market, listener) {
    const id = kindId(name, market);
    const isNew = !this.#kinds.has(id);
    const kind = this.#kinds.get(id) ?? new Kind(name, market);
    this.#kinds.set(id, kind);
    kind.listeners.add(listener);
    if (isNew) this.#askKind(kind);
    return kind;
  }

  unwatch(kind, listener) {
    kind.listeners.delete(listener);
    if (kind.listeners.size || !this.#kinds.delete(kind.id)) return;
    this.#ask("unsubscribe", [{ ...named(kind.market), data_type: kind.name }], []);
  }

  // Candles that ended are made again: they are asked for again.
  again(intervals) {
    for (const series of this.#series.values()) {
      if (series.isEnded && intervals.includes(series.interval.text)) this.#soon(series);
    }
  }

  // The connection is new: everything again. What is known already goes on where it ended.
  resume() {
    this.#asked = [];
    this.#news.clear();
    const every = [...this.#series.values()];
    if (every.length) this.#askSeries(every, true);
    for (const kind of this.#kinds.values()) this.#askKind(kind);
  }

  receive(message) {
    if (message.data_type === "klines") this.#klines(message);
    else if (message.data_type) this.#rows(message);
    else if (message.type === "data_status") this.#status(message);
    else if (message.type === "subscribed") this.#answered(message.subscriptions);
    else if (message.type === "error") this.#refused(message);
    else if (message.type === "unsubscribed" && message.reason) this.#ended(message);
    else if (message.type === "unsubscribed") this.#asked.shift();
  }

  #soon(series) {
    if (this.#news.size === 0) queueMicrotask(() => this.#flush());
    this.#news.add(series);
  }

  #flush() {
    const fresh = [...this.#news];
    this.#news.clear();
    if (fresh.length) this.#askSeries(fresh);
  }

  #askSeries(many, isAgain = false) {
    for (const series of many) Object.assign(series, { isAsked: true, isEnded: false });
    const entries = many.map((series) => ({ ...entry(series), ...(isAgain && this.#resumption(series)) }));
    this.#ask("subscribe", entries, many);
  }

  #askKind(kind) {
    this.#ask("subscribe", [{ ...named(kind.market), data_type: kind.name }], [kind]);
  }

  #ask(action, subscriptions, about) {
    if (!this.stream.isOpen) return; // resume() will ask for all that is wanted then
    this.#asked.push(about.map((each) => ({ about: each, candles: each.candles })));
    this.stream.send({ action, subscriptions });
  }

  // From where to go on; a gateway that cannot prove that it has all since then sends a snapshot.
  // Who wants more candles than came needs one in any case.
  #resumption({ rows, loaded, candles }) {
    return rows.size > 0 && loaded === candles && Object.keys(this.#position).length > 0 ? { from_seq: this.#position } : {};
  }

  #klines({ exchange, channel, data, snapshot, seq, data_status: status }) {
    Object.assign(this.#position, seq);
    if (snapshot && data.length === 0) return this.#nothing(exchange, channel);
    const byId = new Map();
    for (const row of data) {
      const id = idOf({ exchange, channel, symbol: row.symbol }, { ms: row.interval, anchor: row.anchor ?? "" });
      if (byId.has(id)) byId.get(id).push(row);
      else byId.set(id, [row]);
    }
    for (const [id, rows] of byId) {
      const series = this.#series.get(id);
      if (!series) continue;
      if (status) series.tell({ status });
      if (snapshot) series.load(rows);
      else series.push(rows);
    }
  }

  // An empty snapshot does not say of which symbol: it is one whose history was being read.
  #nothing(exchange, channel) {
    for (const series of this.#series.values()) {
      const { market, status } = series;
      if (market.exchange !== exchange || market.channel !== channel || !status.historical_loading) continue;
      series.tell({ status: { ...status, historical_loading: false } });
    }
  }

  // A row without a symbol is of a whole socket: of every market there.
  #rows({ exchange, channel, data_type: name, data, snapshot }) {
    const symbols = new Set(data.map((row) => row.symbol));
    for (const kind of this.#kinds.values()) {
      const { market } = kind;
      if (kind.name !== name || market.exchange !== exchange || market.channel !== channel) continue;
      const rows = data.filter(({ symbol }) => symbol === market.symbol || symbol === "");
      if (rows.length) kind.take(rows, snapshot === true && symbols.has(market.symbol));
    }
  }

  #answered(subscriptions) {
    for (const { about, candles } of this.#asked.shift() ?? []) about.promised = candles;
    for (const told of subscriptions) {
      const hint = told.hint ?? "";
      const about = this.#of(told);
      about?.tell({ isAnswered: true, hint, error: "" });
      if (!(about instanceof Series)) continue;
      const { data_status: status = about.status, candles } = told;
      const follows = candles > 0 || status.historical_loading || (Object.keys(this.#position).length > 0 && !hint);
      about.tell({ status });
      if (!follows && about.rows.size) about.load([]);
    }
  }

  // Whom something is told of.
  #of(told) {
    if ((told.data_type ?? "klines") !== "klines") return this.#kinds.get(kindId(told.data_type, told));
    return this.#series.get(idOf(told, { ms: told.interval, anchor: told.anchor }));
  }

  // One of many may have spoiled the message for all: each is asked for alone.
  #refused({ error, hint }) {
    const about = (this.#asked.shift() ?? []).map((each) => each.about);
    if (about.length > 1) for (const each of about) this.#askSeries([each]);
    else for (const each of about) each.tell({ isAnswered: true, error, hint: hint ?? "" });
  }

  #ended({ subscriptions, reason }) {
    for (const told of subscriptions) this.#of(told)?.tell({ isAnswered: true, isEnded: true, error: reason, hint: "" });
  }

  #status({ exchange, channel, symbol, timeframes, data_status: status }) {
    for (const series of this.#series.values()) {
      const { market, interval } = series;
      const isMeant = market.symbol === symbol && market.exchange === exchange && market.channel === channel;
      if (isMeant && timeframes.includes(interval.text)) series.tell({ status });
    }
  }
}

function named({ exchange, channel, symbol }) {
  return { exchange, channel, symbol };
}

function entry({ market, interval, candles }) {
  return { ...named(market), timeframes: [{ timeframe: interval.text, initial_candles: candles }] };
}
