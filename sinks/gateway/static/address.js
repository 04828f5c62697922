// Which charts are shown, in the address: #binance:linear:BTCUSDT:173m,okx:linear:BTC-USDT-SWAP:1h
// so that a view can be kept as a bookmark and shared. The last one is remembered on this device.

import { parseInterval } from "./intervals.js";
import { device } from "./memory.js";

const NAME = "charts";
export const LAYOUTS = [1, 2, 4];

export function textOf(charts) {
  return charts.map(({ exchange, channel, symbol, interval }) =>
    [exchange, channel, symbol, interval.text].map(encodeURIComponent).join(":")).join(",");
}

export function chartsOf(text) {
  const charts = text.split(",").map(chartOf).filter(Boolean).slice(0, LAYOUTS.at(-1));
  const layout = LAYOUTS.findLast((many) => many <= charts.length) ?? 0;
  return charts.slice(0, layout);
}

function chartOf(text) {
  const [exchange, channel, symbol, said, more] = text.split(":").map(decoded);
  const interval = said && parseInterval(said);
  return exchange && channel && symbol && interval && more === undefined ? { exchange, channel, symbol, interval } : null;
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return ""; // a lone % in a mangled link
  }
}

export function read() {
  const named = chartsOf(location.hash.slice(1));
  return named.length ? named : chartsOf(device.read(NAME) ?? "");
}

export function write(charts) {
  const text = textOf(charts);
  history.replaceState(null, "", `#${text}`);
  device.keep(NAME, text);
}
