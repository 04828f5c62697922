// What is shown and why: the chosen series lives in the address (#binance:linear:BTCUSDT:173m),
// so that a view can be kept as a bookmark and shared.

import { CandleChart } from "./chart.js";
import {
  INTERVAL_HELP, clock, duration, grouped, hasFixedLength, isCorrected, parseInterval, percent, quality,
  untilClose, utc,
} from "./format.js";
import { Picker } from "./picker.js";
import { Stream } from "./stream.js";

const INITIAL_CANDLES = 500;
const CATALOGUE_INTERVAL_MS = 2_000;
const CATALOGUE_REFRESH_MS = 30_000; // somebody may add an interval
const byId = (id) => document.getElementById(id);

const view = { series: null, intervals: [], markets: [], hint: null, answered: false, hovered: null, clockMs: 0, ends: new Map() };
let connection = { state: "connecting", retryAt: 0 };
let kafkaIsAway = false;
let lastPrice = null;

const chart = new CandleChart(byId("chart"), {
  onHover: (row) => { view.hovered = row; showLegend(); },
  onChange: () => { showQuote(); showLegend(); showMessage(); },
});
const stream = new Stream(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/stream`, {
  onMessage: receive,
  onState: (state) => { connection = state; showConnection(); },
});
const picker = new Picker(byId("picker"), {
  onChoose: (market) => choose({ ...market, interval: view.series?.interval ?? "1m" }),
  load: async () => { await loadCatalogue(); return view.markets; },
});

// -- messages of the gateway

function receive(message) {
  if (message.data_type === "klines") return receiveKlines(message);
  if (message.type === "stats") return showStats(message);
  if (message.type === "subscribed") {
    const [{ symbol, interval, anchor, hint, candles }] = message.subscriptions;
    if (symbol !== view.series.symbol || interval !== view.series.ms || anchor !== view.series.anchor) return;
    Object.assign(view, { hint: hint ?? null, answered: true });
    if (candles === 0) chart.clear(view.series.ms); // else a snapshot follows
    showQuote();
    showLegend();
    showMessage();
  }
  if (message.type === "unsubscribed" && message.reason) {
    showHelp(`${message.reason}.`);
    loadCatalogue();
  }
  if (message.type === "error") {
    showHelp(`${message.error}. ${message.hint}`);
    view.answered = true;
    showMessage();
  }
}

function receiveKlines({ exchange, channel, data, snapshot }) {
  const s = view.series;
  if (exchange !== s.exchange || channel !== s.channel) return;
  const rows = data.filter(
    (row) => row.symbol === s.symbol && row.interval === s.ms && (row.anchor ?? "") === s.anchor);
  if (snapshot) chart.load(rows);
  else chart.push(rows);
}

// -- choosing what to see

function choose({ exchange, channel, symbol, interval }) {
  const parsed = parseInterval(interval);
  view.series = { exchange, channel, symbol, interval: parsed.text, ms: parsed.ms, anchor: parsed.anchor };
  Object.assign(view, { hint: null, answered: false, hovered: null, ends: new Map() });
  lastPrice = null;
  history.replaceState(null, "", `#${[exchange, channel, symbol, parsed.text].map(encodeURIComponent).join(":")}`);
  chart.clear(parsed.ms);
  stream.follow({ exchange, channel, symbol, timeframe: parsed.text, initial_candles: INITIAL_CANDLES });
  byId("symbol-name").textContent = symbol;
  byId("symbol-venue").textContent = `${exchange} \u00b7 ${channel}`;
  showIntervals();
  showHelp(null);
  showQuote();
  showLegend();
  showMessage();
}

function fromAddress() {
  const parts = location.hash.slice(1).split(":").map(decoded);
  const [exchange, channel, symbol, interval] = parts;
  return parts.length === 4 && parts.every(Boolean) && parseInterval(interval)
    ? { exchange, channel, symbol, interval } : null;
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return ""; // a lone % in a mangled link
  }
}

function firstChoice() {
  const market = view.markets.find((m) => m.symbol === "BTCUSDT") ?? view.markets[0];
  if (!market) return null;
  return { ...market, interval: view.intervals.includes("1m") ? "1m" : (view.intervals[0] ?? "1m") };
}

async function loadCatalogue() {
  try {
    const answer = await fetch("/api/v1/series");
    if (!answer.ok) return;
    const { intervals, series } = await answer.json();
    const changed = intervals.join() !== view.intervals.join();
    Object.assign(view, { intervals, markets: series });
    if (changed) showIntervals();
  } catch {
    return; // the connection state says it already
  }
  if (view.series === null) {
    const first = firstChoice();
    if (first) choose(first);
    else showMessage();
  }
}

// -- what is shown

function showIntervals() {
  const chosen = view.series?.interval;
  const texts = [...view.intervals];
  if (chosen && !texts.includes(chosen)) texts.push(chosen);
  texts.sort((a, b) => parseInterval(a).ms - parseInterval(b).ms || (a < b ? -1 : 1));
  byId("interval-buttons").replaceChildren(...texts.map((text) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.ariaPressed = String(text === chosen);
    button.dataset.interval = text;
    button.dataset.testid = `interval-${text}`;
    return button;
  }));
  const pressed = byId("interval-buttons").querySelector('[aria-pressed="true"]');
  pressed?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function showHelp(text) {
  byId("interval-help").hidden = text === null;
  byId("interval-help").textContent = text ?? "";
  byId("interval-text").ariaInvalid = String(text !== null);
}

function showConnection() {
  const { retryAt, reason } = connection;
  const state = connection.state === "live" && kafkaIsAway ? "silent" : connection.state;
  const inMs = retryAt - Date.now();
  const words = { connecting: "Connecting", live: "Live", silent: "No data: Kafka is away",
    reconnecting: inMs > 0 ? `Reconnecting in ${duration(inMs)}` : "Reconnecting" };
  byId("connection").dataset.state = state;
  document.body.dataset.stale = String(state !== "live");
  byId("connection").title = reason ?? "";
  setText("connection-text", words[state]);
  showMessage();
}

function showQuote() {
  const row = chart.last;
  byId("quality").hidden = row === null;
  if (row === null) {
    setText("price", "\u2013");
    setText("change", "");
    delete byId("price").dataset.move;
    return;
  }
  if (lastPrice !== null && Number(row.close) !== Number(lastPrice)) {
    byId("price").dataset.move = Number(row.close) > Number(lastPrice) ? "up" : "down";
  }
  lastPrice = row.close;
  setText("price", grouped(row.close));
  setText("change", percent(row.open, row.close));
  byId("change").className = `change ${direction(row)}`;
  byId("change").title = "Since this candle opened";
  const [words, why] = quality(row);
  setText("quality", words);
  byId("quality").dataset.quality = row.quality;
  byId("quality").title = why;
  document.title = `${grouped(row.close)} ${row.symbol} \u00b7 fibstream`;
}

function showLegend() {
  const row = view.hovered ? (chart.rows.get(view.hovered.timestamp) ?? null) : chart.last;
  const legend = byId("legend");
  if (row === null) return legend.replaceChildren();
  const items = [
    ["Opened", `${utc(row.timestamp, row.interval)} UTC`, "", "unseen"],
    ["O", grouped(row.open), direction(row)], ["H", grouped(row.high), direction(row)],
    ["L", grouped(row.low), direction(row)], ["C", grouped(row.close), direction(row)],
    ["Vol", grouped(row.volume), ""], ["Trades", row.trade_count.toLocaleString("en"), ""],
    row === chart.last ? ["State", row.closed ? "closed" : "open", "", "unseen"]
      : ["Quality", quality(row)[0], "", "unseen"],
  ];
  if (isCorrected(row)) items.push(["Corrected", row.cause, ""]);
  legend.replaceChildren(...items.map(([name, value, className, nameClass = ""]) => {
    const group = document.createElement("div");
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    [dt.textContent, dt.className, dd.textContent, dd.className] = [name, nameClass, value, className];
    group.append(dt, dd);
    return group;
  }));
}

function showMessage() {
  const words = message();
  byId("message").hidden = words === null;
  if (words === null) return;
  setText("message-title", words[0]);
  setText("message-text", words[1]);
}

function message() {
  const s = view.series;
  if (chart.last !== null) return null;
  if (connection.state === "reconnecting") {
    return ["The gateway does not answer", "This page connects again by itself as soon as it does."];
  }
  if (s === null) {
    return view.intervals.length === 0 ? ["Loading", ""]
      : ["No candles yet", "They appear here with the first trade. If none comes: is an ingestor running, and a processor? `fibstream doctor` tells."];
  }
  if (!view.answered) return ["Loading", ""];
  if (!view.intervals.includes(s.interval)) {
    return [`${s.interval} candles are not made here`,
      `Made are ${view.intervals.join(", ")}. To add it: fibstream intervals add ${s.interval}`];
  }
  const known = view.markets.some((m) => m.symbol === s.symbol && m.exchange === s.exchange && m.channel === s.channel);
  if (!known && view.hint) return [`No candles of ${s.symbol}`, `${view.hint[0].toUpperCase()}${view.hint.slice(1)}.`];
  const closes = s.anchor === "" ? `; the first one closes in ${duration(untilClose(nowMs(), s.ms))}` : "";
  return [`No ${s.interval} candle of ${s.symbol} yet`, `It appears with the next trade${closes}.`];
}

function showStats(stats) {
  view.clockMs = stats.time_ms - Date.now();
  kafkaIsAway = stats.kafka === "away";
  setText("rate", stats.trades_per_s.toLocaleString("en", { maximumFractionDigits: stats.trades_per_s < 10 ? 1 : 0 }));
  const { p50, p99 } = stats.latency_ms;
  setText("latency", p50 === null ? "quiet" : `${p50} ms / ${p99} ms`);
  setText("symbols", stats.symbols.toLocaleString("en"));
  setText("clients", stats.clients.toLocaleString("en"));
}

function showCountdown() {
  const row = chart.last;
  const endMs = row ? endOf(row) : 0;
  setText("countdown", !row || endMs === null || connection.state !== "live" ? ""
    : row.closed || endMs <= nowMs() ? "waiting for a trade" : `closes in ${clock(endMs - nowMs())}`);
}

// Null while the gateway has not told where the window ends; it is asked once a window.
function endOf(row) {
  const s = view.series;
  if (hasFixedLength(s)) return row.timestamp + row.interval;
  const ends = view.ends;
  if (!ends.has(row.timestamp)) {
    ends.set(row.timestamp, null);
    fetch(`/api/v1/intervals?at_ms=${row.timestamp}`).then((answer) => answer.json())
      .then(({ intervals }) => {
        const found = intervals.find((each) => each.interval === s.interval);
        if (found) ends.set(row.timestamp, found.end_ms);
      })
      .catch(() => ends.delete(row.timestamp));
  }
  return ends.get(row.timestamp);
}

function nowMs() {
  return Date.now() + view.clockMs;
}

function direction(row) {
  return Number(row.close) >= Number(row.open) ? "up" : "down";
}

function setText(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

// -- controls

function submitInterval(event) {
  event.preventDefault();
  const text = byId("interval-text").value;
  const parsed = parseInterval(text);
  if (!parsed) return showHelp(`\u201c${text.trim()}\u201d is not an interval. Valid: ${INTERVAL_HELP}`);
  byId("interval-text").value = "";
  if (view.series) choose({ ...view.series, interval: parsed.text });
}

function currentTheme() {
  const chosen = localStorage.getItem("theme");
  return chosen ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function applyTheme() {
  document.documentElement.style.colorScheme = currentTheme();
  document.documentElement.dataset.theme = currentTheme();
  chart.applyTheme();
}

byId("symbol").addEventListener("click", () => picker.open(view.series));
byId("interval-form").addEventListener("submit", submitInterval);
byId("interval-text").addEventListener("input", () => showHelp(null));
byId("interval-buttons").addEventListener("click", ({ target }) => {
  if (target.dataset.interval && view.series) choose({ ...view.series, interval: target.dataset.interval });
});
byId("theme").addEventListener("click", () => {
  localStorage.setItem("theme", currentTheme() === "dark" ? "light" : "dark");
  applyTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
addEventListener("hashchange", () => { const series = fromAddress(); if (series) choose(series); });
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input") || byId("picker").open) return;
  event.preventDefault();
  picker.open(view.series);
});

applyTheme();
const bookmarked = fromAddress();
if (bookmarked) choose(bookmarked);
showMessage();
stream.connect();
loadCatalogue();
setInterval(() => { showConnection(); showCountdown(); }, 250);
setInterval(() => { if (connection.state === "live" && chart.last === null) loadCatalogue(); }, CATALOGUE_INTERVAL_MS);
setInterval(() => { if (connection.state === "live") loadCatalogue(); }, CATALOGUE_REFRESH_MS);
