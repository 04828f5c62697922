// What a chart says in place of candles: a title, a sentence, and one that counts, which nobody
// wants read out each second; null where candles speak.

import { duration, sentence } from "./format.js";
import { untilClose } from "./intervals.js";
import { nowMs } from "./windows.js";

export function messageOf(series, { name }, markets) {
  if (series?.last) return series.error ? refusal(series) : null;
  if (name === "locked") return ["Sign in to see candles", "This gateway asks for a key or a token."];
  if (name === "reconnecting") {
    return ["The gateway does not answer", "This page connects again by itself as soon as it does."];
  }
  if (series === null) return markets.isKnown ? noCandles() : ["Loading", ""];
  const { interval, market, error, hint, status, isAnswered } = series;
  if (error) return refusal(series);
  if (!isAnswered) return ["Loading", ""];
  if (status.historical_loading) return [`Reading the ${interval.text} candles of ${market.symbol}`, sentence(hint)];
  if (!markets.intervals.includes(interval.text)) return [`${interval.text} candles are not made here`, sentence(hint)];
  if (hint && !markets.has(market)) return [`No candles of ${market.symbol}`, sentence(hint)];
  const closes = interval.anchor === "" ? `The first one closes in ${duration(untilClose(nowMs(), interval.ms))}.` : "";
  return [`No ${interval.text} candle of ${market.symbol} yet`, "It appears with the next trade.", closes];
}

function refusal({ last, isEnded, interval, error, hint }) {
  const title = last === null ? "No" : isEnded ? "No more" : "Not all";
  return [`${title} ${interval.text} candles`, [error, hint].map(sentence).join(" ")];
}

function noCandles() {
  return ["No candles yet",
    "They appear here with the first trade. If none comes: is an ingestor running, and a processor? `fibstream doctor` tells."];
}
