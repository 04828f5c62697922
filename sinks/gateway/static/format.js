// Exact text in, readable text out.

import { UNIT_MS } from "./intervals.js";

export function decimals(number) {
  return (number.split(".")[1] ?? "").length;
}

export function grouped(number) {
  const [whole, fraction] = number.split(".");
  const text = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? text : `${text}.${fraction}`;
}

export function percent(from, to) {
  const change = Number(((Number(to) / Number(from) - 1) * 100).toFixed(2));
  return Number.isFinite(change) ? signed(change, 2, "%") : "";
}

export function signed(value, digits, unit = "") {
  const sign = value > 0 ? "+" : value < 0 ? "\u2212" : "";
  return `${sign}${Math.abs(value).toFixed(digits)}${unit}`;
}

export function count(value) {
  return value === null || value === undefined ? "\u2013" : value.toLocaleString("en");
}

const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
export const compact = (value) => short.format(Number(value));

export function bytes(value) {
  const at = value < 1_024 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), 4);
  return `${(value / 1_024 ** at).toFixed(at ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB"][at]}`;
}

export function utc(ms, intervalMs) {
  const text = new Date(ms).toISOString();
  if (intervalMs % UNIT_MS.D === 0 && ms % UNIT_MS.D === 0) return text.slice(0, 10);
  return `${text.slice(0, 10)} ${text.slice(11, intervalMs < UNIT_MS.m ? 19 : 16)}`;
}

export const timeOfDay = (ms) => new Date(ms).toISOString().slice(11, 19);
export const moment = (ms) => (ms ? `${utc(ms, UNIT_MS.s)} UTC` : "never");

function daysToSeconds(ms) {
  const seconds = Math.max(Math.ceil(ms / 1_000), 0);
  return [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
}

export function duration(ms) {
  const [d, h, m, s] = daysToSeconds(ms);
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${m} min`;
  return m ? `${m} min ${s} s` : `${s} s`;
}

export function clock(ms) {
  const [d, h, m, s] = daysToSeconds(ms);
  const two = (number) => String(number).padStart(2, "0");
  return `${d ? `${d} d ` : ""}${d || h ? `${two(h)}:` : ""}${two(m)}:${two(s)}`;
}

export function direction(row) {
  return Number(row.close) >= Number(row.open) ? "up" : "down";
}

export function quality(row) {
  if (row.quality === "proven") return ["proven", "Every trade id of this candle is there"];
  if (row.quality === "assumed") return ["assumed", "Nothing speaks against this candle, and nothing proves it yet"];
  if (row.missing > 0) {
    const trades = row.missing === 1 ? "1 trade" : `${row.missing.toLocaleString("en")} trades`;
    return [`gap: ${trades} missing`, "Ids of trades that may belong here never came"];
  }
  return ["gap: begun midway", "The stream began inside this candle: what came before is not known"];
}

// Why a closed candle is another one than it was first: null where it is not.
export function correction(row) {
  if (!row.closed) return null;
  if (row.cause !== "live" && row.cause !== "venue") return row.cause;
  return row.was ? "a later revision" : null;
}

export function sentence(text) {
  const end = /[.!?]$/.test(text) ? "" : ".";
  return text ? `${text[0].toUpperCase()}${text.slice(1)}${end}` : "";
}
