// What an interval is, in the words of the gateway: its length, and where its windows open.

export const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, D: 86_400_000 };
const LENGTH_MS = { ...UNIT_MS, d: UNIT_MS.D, w: 7 * UNIT_MS.D, W: 7 * UNIT_MS.D, M: 30 * UNIT_MS.D };
const MAX_MS = 30 * UNIT_MS.D;
const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
export const INTERVAL_HELP =
  "1s to 59s, or any whole minute up to 30 days: 5m, 173m, 4h, 1D; 1w@mon, 1M, 1D@tz=Asia/Tokyo, 8h@funding. A bare number means minutes.";

export const LADDER_MINUTES = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 173, 233, 377, 610, 987, 1597, 2584, 2850];
export const PRESETS = { fibonacci: LADDER_MINUTES.map((minutes) => `${minutes}m`) };

// The gateway knows which time zones there are; all else is known here.
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

export function untilClose(nowMs, intervalMs) {
  return intervalMs - (nowMs % intervalMs);
}
