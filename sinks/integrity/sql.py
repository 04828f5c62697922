"""The SQL of integrity: sums of periods, ids in order, and what was found and told before.

Sums need no sorting: ids are counted in a bitmap, and of ranges it is proven by hashes that each
begins where another ends. Only days that are not whole are sorted. Times pass in ms.
"""
# ruff: noqa: S608 - what is put in is our own words, and numbers

from collections.abc import Iterable

from schemas.integrity import Period
from schemas.trades import IdRule
from sinks.integrity.periods import Span

_MARKET = "exchange = {exchange:String} AND channel = {channel:String}"
_MS = "toUnixTimestamp64Milli(ts)"
_START = {
    "month": "toUnixTimestamp(toDateTime(toStartOfMonth(ts), 'UTC')) * 1000",
    "day": "toUnixTimestamp(toStartOfDay(ts)) * 1000",
}
# The starts and ends of ranges are the same, but for the outer ones: then every id between is held
# equally often, and once if there are as many as fit. Equal sums of hashes say so without sorting.
_CHAINED = (
    "sum(intHash64(first_id)) + intHash64(max(last_id) + 1)"
    " = sum(intHash64(last_id + 1)) + intHash64(min(first_id))"
)
_SPAN = "max(last_id) - min(first_id) + 1"
_HELD = "sum(last_id - first_id + 1)"
_KEY = "if(uid = '', toString(id), uid)"
# First and last id, their times, rows, ids held, different ids.
_SUMS: dict[IdRule, str] = {
    "dense": f"min(id), max(id), argMin({_MS}, id), argMax({_MS}, id), count(), count(),"
    " groupBitmap(toUInt64(id))",
    "range": f"min(first_id), max(last_id), argMin({_MS}, first_id), argMax({_MS}, last_id),"
    f" count(), {_HELD},"
    f" if({_CHAINED} AND {_HELD} % ({_SPAN}) = 0, {_SPAN}, NULL)",
    "unique": f"min(id), max(id), min({_MS}), max({_MS}), count(), count(), uniqExact({_KEY})",
}

# The months of every symbol; rows are (exchange, channel, symbol, month, from, to).
SPANS = """
SELECT
    toString(exchange), toString(channel), toString(symbol),
    toUnixTimestamp(toDateTime(month, 'UTC')) * 1000 AS month_ms,
    toUnixTimestamp64Milli(min(from_time)), toUnixTimestamp64Milli(max(to_time))
FROM trade_spans
WHERE ({exchange:String} = '' OR exchange = {exchange:String})
    AND ({channel:String} = '' OR channel = {channel:String})
    AND (empty({symbols:Array(String)}) OR has({symbols:Array(String)}, toString(symbol)))
GROUP BY exchange, channel, symbol, month
ORDER BY exchange, channel, symbol, month"""

# What earlier looks found; columns in the order of ``Checked``.
KEPT = f"""
SELECT
    toString(symbol), toString(period),
    toUnixTimestamp(toDateTime(period_start, 'UTC')) * 1000,
    first_id, last_id, toUnixTimestamp64Milli(first_time), toUnixTimestamp64Milli(last_time),
    count, duplicates, gaps_count, unrecoverable, toString(quality), trusted,
    toUnixTimestamp64Milli(checked_at)
FROM integrity FINAL
WHERE {_MARKET} AND symbol IN {{symbols:Array(String)}}"""

# What was told of missing ids, and when.
TOLD = f"""
SELECT toString(symbol), first_id, last_id, toString(state), toUnixTimestamp64Milli(told_at)
FROM gaps FINAL
WHERE {_MARKET} AND symbol IN {{symbols:Array(String)}}
ORDER BY told_at DESC
LIMIT {{limit:UInt32}}"""


def tallies(rule: IdRule, period: Period, spans: Iterable[Span], *, merged: bool) -> str:
    """Sum the trades of these spans by symbol and period; rows are a symbol and a ``Tally``.

    ``merged`` leaves out the copies that the table is yet to remove, which costs more.
    """
    within = " OR ".join(_within(span) for span in spans)
    return f"""
SELECT toString(symbol), {_START[period]} AS start_ms, {_SUMS[rule]}, max(rev)
FROM trades{" FINAL" if merged else ""}
WHERE {_MARKET} AND symbol IN {{symbols:Array(String)}} AND ({within})
GROUP BY symbol, start_ms
ORDER BY symbol, start_ms"""


def holes(rule: IdRule, span: Span) -> str:
    """Sort the ids of a span; rows are (first, last, from, to, missing in all), oldest first."""
    first, last = ("first_id", "last_id") if rule == "range" else ("id", "id")
    return f"""
SELECT
    before + 1, first - 1, least(before_ms, ms), greatest(before_ms, ms),
    sum(first - before - 1) OVER ()
FROM
(
    SELECT
        {first} AS first, {last} AS last, {_MS} AS ms, max(last) OVER earlier AS before,
        last_value(ms) OVER earlier AS before_ms, count() OVER earlier AS number
    FROM trades
    WHERE {_MARKET} AND symbol = {{symbol:String}} AND {_within(span)}
    WINDOW earlier AS (ORDER BY first, last ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
WHERE number > 0 AND first > before + 1
ORDER BY first
LIMIT {{limit:UInt32}}"""


def _within(span: Span) -> str:
    from_ms, to_ms = (f"fromUnixTimestamp64Milli(toInt64({ms}), 'UTC')" for ms in span)
    return f"(ts >= {from_ms} AND ts < {to_ms})"
