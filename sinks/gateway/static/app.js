// The page, put together: one stream, one grid of charts, one panel, and the keys that move them.

import * as address from "./address.js";
import { byId } from "./dom.js";
import { Feed } from "./feed.js";
import { grouped } from "./format.js";
import { Grid } from "./grid.js";
import { Keys } from "./keys.js";
import { Markets } from "./markets.js";
import { Panel } from "./panel.js";
import { alerts } from "./panels/alerts.js";
import { gaps } from "./panels/gaps.js";
import { health } from "./panels/health.js";
import { ladder } from "./panels/ladder.js";
import { market } from "./panels/market.js";
import { streams } from "./panels/streams.js";
import { Picker } from "./picker.js";
import { session } from "./session.js";
import { SignIn } from "./signin.js";
import { Status } from "./status.js";
import { Stream } from "./stream.js";
import { followTheme } from "./theme.js";
import { Toolbar } from "./toolbar.js";

const TICK_MS = 250;
const TITLE_MS = 1_000;
const MARKETS_SOON_MS = 2_000; // while there is nothing to show
const MARKETS_MS = 30_000; // somebody may add an interval
const WIDE_PX = 900;
const PANELS = [market, ladder, gaps, streams, alerts, health];

const feed = new Feed();
const markets = new Markets();
const stream = new Stream(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/stream`, {
  session,
  onOpen: () => { feed.resume(); markets.load(); },
  onMessage: (message) => (message.type === "stats" ? status.take(message) : receive(message)),
  onState: () => showState(),
});
feed.stream = stream;
const status = new Status(stream);
const toggleTheme = followTheme(() => grid.views.forEach(({ chart }) => chart.applyTheme()));
const grid = new Grid(byId("grid"), { feed, markets, stream });
const panel = new Panel(PANELS, { feed, grid, markets, status });
const picker = new Picker(byId("picker"), {
  onChoose: ({ exchange, channel, symbol }) => choose({ exchange, channel, symbol }),
  load: async () => { await markets.load(); return markets.all; },
});
const toolbar = new Toolbar(grid, markets, { onSymbol: openPicker, onPreset: () => panel.open("ladder") });
const signIn = new SignIn(() => stream.restart());

function receive(message) {
  feed.receive(message);
  if (message.type === "unsubscribed" && message.reason && message.subscriptions.some(({ timeframe }) => timeframe)) {
    toolbar.help(`${message.reason}.`);
    markets.load().then(() => feed.again(markets.intervals));
  }
}

function choose(chart) {
  grid.choose(grid.active.series ? chart : { ...markets.first(), ...chart });
}

function openPicker() {
  picker.open(grid.active.series?.market ?? null, markets.all);
}

function showState() {
  status.show();
  grid.tick();
  if (stream.state.name === "locked") signIn.open(stream.state.reason);
}

function showTitle() {
  const { series } = grid.active;
  const close = series?.last ? `${grouped(series.last.close)} ` : "";
  const title = `${close}${series ? `${series.market.symbol} \u00b7 ` : ""}fibstream`;
  if (document.title !== title) document.title = title;
}

function fromAddress() {
  const charts = address.read();
  if (charts.length) grid.show(charts);
}

const scroll = (by) => () => grid.active.chart.scroll(by);
const zoom = (factor) => () => grid.active.chart.zoom(factor);
new Keys([
  [["/"], "Choose a symbol", openPicker],
  [["i"], "Type an interval", () => byId("interval-text").focus()],
  ...address.LAYOUTS.map((many) => [[String(many)], many === 1 ? "One chart" : `${many} charts side by side`,
    () => byId("layouts").querySelector(`[data-layout="${many}"]`).click()]),
  [["["], "The chart before", () => grid.step(-1)],
  [["]"], "The next chart", () => grid.step(1)],
  [["ArrowLeft"], "Back in time", scroll(-10)],
  [["ArrowRight"], "On in time", scroll(10)],
  [["+", "="], "Nearer", zoom(0.8)],
  [["-"], "Farther", zoom(1.25)],
  [["n"], "To the newest candle", scroll(0)],
  ...PANELS.map(({ key, name, title }) => [[key], `${title}: open or close`, () => panel.toggle(name)]),
  [["Escape"], "Close the panel", () => panel.close()],
  [["t"], "Dark or light", toggleTheme],
]);

byId("theme").addEventListener("click", toggleTheme);
grid.addEventListener("change", () => { panel.follow(); showTitle(); });
markets.addEventListener("change", () => {
  const first = grid.active.series === null && markets.first();
  if (first) grid.show([first]);
  feed.again(markets.intervals);
  grid.tick();
});
addEventListener("hashchange", fromAddress);

fromAddress();
toolbar.show();
panel.restore(innerWidth >= WIDE_PX);
stream.connect();
setInterval(() => { status.show(); grid.tick(); }, TICK_MS);
setInterval(showTitle, TITLE_MS);
setInterval(() => { if (stream.isOpen && !grid.active.series?.last) markets.load(); }, MARKETS_SOON_MS);
setInterval(() => { if (stream.isOpen && !document.hidden) markets.load(); }, MARKETS_MS);
