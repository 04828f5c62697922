// Exact text in, readable text out. Prices and volumes stay the digits that the exchange sent:
// they are read as text, and become floats only as coordinates on the chart.

const DECIMAL = /"(open|high|low|close|(?:taker_buy_)?(?:quote_)?volume)"\s*:\s*(-?\d[\d.eE+-]*)/g;
const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, D: 86_400_000 };
const LENGTH_MS = { ...UNIT_MS, d: UNIT_MS.D, w: 7 * UNIT_MS.D, W: 7 * UNIT_MS.D, M: 30 * UNIT_MS.D };
const MAX_MS = 30 * UNIT_MS.D;
const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
export const INTERVAL_HELP =
  "1s to 59s, or any whole minute up to 30 days: 5m, 173m, 4h, 1D; 1w@mon, 1M, 1D@tz=Asia/Tokyo, 8h@funding. A bare number means minutes.";

export function parseMessage(text) {
  return JSON.parse(text.replace(DECIMAL, '"$1":"$2"'));
}

// An interval is its length and where its windows open; the gateway knows which time zones there are.
export function parseInterval(text) {
  const match = /^([1-9]\d{0,6})([smhdDwWM]?)((?:@[\w=/+-]+)*)$/.exec(text.trim());
  if (!match) return null;
  const [count, unit] = [Number(match[1]), match[2] || "m"];
  const ms = count * LENGTH_MS[unit];
  const anchor = anchorOf(count, unit, ms, match[3].split("@").slice(1));
  return anchor === null ? null : { ms, anchor, text: intervalText(ms, anchor) };
}

function anchorOf(count, unit, ms, anchors) {
  if (unit === "M") return 12 % count ? null : followed(["month"], anchors);
  if (ms > MAX_MS) return null;
  if ("wW".includes(unit)) {
    return WEEKDAYS.includes(anchors[0]) ? followed([anchors[0]], anchors.slice(1)) : followed(["mon"], anchors);
  }
  if (anchors.join() === "funding") return ms % UNIT_MS.h || UNIT_MS.D % ms ? null : "funding";
  if (ms > UNIT_MS.m && ms % UNIT_MS.m) return null;
  const anchor = followed([], anchors);
  return anchor && ms !== UNIT_MS.D ? null : anchor;
}

function followed(opens, zone) {
  if (zone.length > 1 || (zone.length && !zone[0].startsWith("tz="))) return null;
  return [...opens, ...zone.filter((part) => part !== "tz=UTC")].join("@");
}

function intervalText(ms, anchor) {
  const parts = anchor.split("@").filter(Boolean);
  if (parts[0] === "month") return [`${ms / LENGTH_MS.M}M`, ...parts.slice(1)].join("@");
  if (WEEKDAYS.includes(parts[0])) return [`${ms / LENGTH_MS.w}w`, ...parts].join("@");
  const [suffix, unit] = Object.entries(UNIT_MS).reverse().find(([, size]) => ms % size === 0);
  return [`${ms / unit}${suffix}`, ...parts].join("@");
}

// Months, and days of a time zone, are of different lengths: their ends are asked for.
export function hasFixedLength({ anchor }) {
  return !anchor.includes("month") && !anchor.includes("tz=");
}

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
  if (!Number.isFinite(change)) return "";
  const sign = change > 0 ? "+" : change < 0 ? "\u2212" : "";
  return `${sign}${Math.abs(change).toFixed(2)}%`;
}

export function utc(ms, intervalMs) {
  const text = new Date(ms).toISOString();
  if (intervalMs % UNIT_MS.D === 0 && ms % UNIT_MS.D === 0) return text.slice(0, 10);
  return `${text.slice(0, 10)} ${text.slice(11, intervalMs < UNIT_MS.m ? 19 : 16)}`;
}

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

export function untilClose(nowMs, intervalMs) {
  return intervalMs - (nowMs % intervalMs);
}

export function quality(row) {
  if (row.quality === "proven") {
    return ["proven", "Every trade id of this candle is there"];
  }
  if (row.quality === "assumed") {
    return ["assumed", "Nothing speaks against this candle, and nothing proves it yet"];
  }
  if (row.missing > 0) {
    const trades = row.missing === 1 ? "1 trade" : `${row.missing.toLocaleString("en")} trades`;
    return [`gap: ${trades} missing`, "Ids of trades that may belong here never came"];
  }
  return ["gap: begun midway", "The stream began inside this candle: what came before is not known"];
}

export function isCorrected(row) {
  return row.closed && row.cause !== "live" && row.cause !== "venue";
}
