// When the candle that runs closes. Months, and days of a time zone, are of different lengths:
// the gateway is asked where they end, once a window.

import { get } from "./api.js";
import { clock } from "./format.js";
import { hasFixedLength } from "./intervals.js";

const RETRY_MS = 15_000;

let aheadMs = 0; // how far the gateway's clock is ahead of ours

export function setClock(gatewayMs) {
  aheadMs = gatewayMs - Date.now();
}

export function nowMs() {
  return Date.now() + aheadMs;
}

export function countdown({ last, interval, ends }) {
  if (last === null) return "";
  const endMs = hasFixedLength(interval) ? last.timestamp + interval.ms : askedEnd(last.timestamp, interval, ends);
  if (endMs === null) return "";
  return last.closed || endMs <= nowMs() ? "waiting for a trade" : `closes in ${clock(endMs - nowMs())}`;
}

// The same where there is little room.
export function brief(words) {
  return words.replace("closes in ", "").replace("waiting for a trade", "waits");
}

function askedEnd(openMs, interval, ends) {
  if (!ends.has(openMs)) {
    ends.clear();
    ends.set(openMs, null);
    get("/api/v1/intervals", { at_ms: openMs })
      .then(({ intervals }) => {
        const found = intervals.find((each) => each.interval === interval.text);
        if (found) ends.set(openMs, found.end_ms);
      })
      .catch(() => setTimeout(() => ends.delete(openMs), RETRY_MS));
  }
  return ends.get(openMs) ?? null;
}
