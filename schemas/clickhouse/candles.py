"""The SQL of candles: the trades of a symbol, as they were known at a revision, summed by window.

A trade counts once, by the rule of its ids, and as of ``rev``: what came later is not there yet.
Every sum is exact: prices and quantities are brought to ``SCALE`` decimals as integers. Times pass
in ms. Parameters: ``exchange``, ``channel``, ``symbol``, ``rev``, and those of each query.
"""
# ruff: noqa: S608 - what is put in is numbers, our own words, and intervals that were parsed

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from schemas.intervals import Interval
from schemas.trades import Flag, IdRule

SCALE = 12  # decimals of prices and quantities; products have twice as many

_SERIES = "exchange = {exchange:String} AND channel = {channel:String} AND symbol = {symbol:String}"
_MS = "toUnixTimestamp64Milli(ts)"
_RECV = "intDiv(toUnixTimestamp64Nano(recv_time), 1000000)"
_KNOWN = f"{_SERIES} AND rev <= {{rev:Int64}}"
_MARKET = f"bitAnd(flags, {Flag.NON_MARKET.value}) = 0"
_FROM, _TO = (f"fromUnixTimestamp64Milli({{{name}:Int64}})" for name in ("from_ms", "to_ms"))
_WITHIN = f"ts >= {_FROM} AND ts < {_TO}"
# Both orders of trades as one number each, which aggregates compare fast: by id, or by arrival.
_ARRIVAL = "toInt256(rev) * 4294967296 + place"
_ORDER: dict[IdRule, str] = {
    "dense": "toInt128(ms) * toInt128('18446744073709551616') + id",
    "range": "toInt128(ms) * toInt128('18446744073709551616') + id",
    "unique": "toInt256(ms) * toInt256('39614081257132168796771975168') + arrival",  # 2 ** 95
}

Places = Sequence[tuple[int, int]]
"""Trades by (rev, place)."""


class Sums(NamedTuple):
    """The trades from one edge to the next; prices and quantities at ``SCALE``, quotes at twice."""

    at_ms: int
    """The edge; no trade is before it."""
    open: int
    high: int
    low: int
    close: int
    volume: int
    quote: int
    buy_volume: int
    buy_quote: int
    trades: int
    first_id: int
    last_id: int
    last_ms: int
    recv_ms: int
    arrival: int
    """(rev, place) of the trade that came last, as one number."""
    source: str
    """Of that trade."""
    price_scale: int
    qty_scale: int


class Step(NamedTuple):
    """A trade whose ids do not go on where those ``before`` end: a hole, or an overlap."""

    first: int
    last: int
    ms: int
    before: int
    before_ms: int


class Taken(NamedTuple):
    """A trade whose ids overlap those of another."""

    first: int
    last: int
    rev: int
    place: int


class Stored(NamedTuple):
    """The latest revision of a candle in the warehouse, as far as a recomputation may change it."""

    interval_ms: int
    anchor: str
    open_ms: int
    rev: int
    quality: str
    missing: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    trades: int
    first_id: int
    last_id: int


def sums(rule: IdRule, edges: Iterable[int], refused: Places) -> str:
    """Sum the trades of ``[from_ms, to_ms)`` by the edge before each; rows are ``Sums``."""
    return f"""
SELECT
    roundDown(ms, [{_numbers(edges)}]) AS at_ms,
    argMin(price, position), max(price), min(price), argMax(price, position),
    sum(volume), sum(quote), sumIf(volume, side > 0), sumIf(quote, side > 0),
    sum(trades), argMin(id, position), argMax(id, position), max(ms), max(recv_ms),
    max(arrival), argMax(source, arrival), max(price_scale), max(qty_scale)
FROM
(
    SELECT
        {_MS} AS ms, id, side, toString(source) AS source, price_scale, qty_scale,
        last_id - first_id + 1 AS trades,
        {_RECV} AS recv_ms,
        price_int * toInt128(intExp10({SCALE} - price_scale)) AS price,
        toInt256(qty_int) * intExp10({SCALE} - qty_scale) AS volume,
        price * volume AS quote,
        {_ARRIVAL} AS arrival, {_ORDER[rule]} AS position
    FROM trades FINAL
    WHERE {_KNOWN} AND {_WITHIN} AND {_MARKET}{_without(refused)}
)
GROUP BY at_ms
ORDER BY at_ms"""


def steps(rule: IdRule, refused: Places) -> str:
    """Find where the ids of the trades of ``[from_ms, to_ms)`` do not go on; rows are ``Step``."""
    return f"""
SELECT first, last, ms, before, before_ms
FROM
(
    SELECT
        {_span(rule)}, {_MS} AS ms, max(last) OVER earlier AS before,
        last_value(ms) OVER earlier AS before_ms, count() OVER earlier AS number
    FROM trades FINAL
    WHERE {_KNOWN} AND {_WITHIN}{_without(refused)}
    WINDOW earlier AS
        (ORDER BY first, last, rev, place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
WHERE number > 0 AND first != before + 1
ORDER BY first"""


def overlaps(rule: IdRule) -> str:
    """Find the trades of ``[from_ms, to_ms)`` that overlap another; rows are ``Taken``."""
    return f"""
SELECT first, last, rev, place
FROM
(
    SELECT
        {_span(rule)}, rev, place,
        max(last) OVER earlier AS before, count() OVER earlier AS earlier_trades,
        min(first) OVER later AS after, count() OVER later AS later_trades,
        greatest(before, last) AS until
    FROM trades FINAL
    WHERE {_KNOWN} AND {_WITHIN}
    WINDOW
        earlier AS
            (ORDER BY first, last, rev, place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
        later AS (ORDER BY first, last, rev, place ROWS BETWEEN 1 FOLLOWING AND 1 FOLLOWING)
)
WHERE (earlier_trades > 0 AND first <= before)
    OR (later_trades > 0 AND after <= if(earlier_trades > 0, until, last))
ORDER BY first, last, rev, place
LIMIT {{limit:UInt32}}"""


# The youngest trade before the revision: what the engine judged by.
WATERMARK = (
    f"SELECT {_MS} FROM trades WHERE {_SERIES} AND rev < {{rev:Int64}} AND {_MARKET}"
    " ORDER BY ts DESC LIMIT 1"
)
# The oldest trade: (its first id, its id, its time).
OLDEST = f"SELECT first_id, id, {_MS} FROM trades WHERE {_KNOWN} ORDER BY ts, id LIMIT 1"
# The time of the trade that came first, which no later one changes.
EARLIEST = f"SELECT argMin({_MS}, {_ARRIVAL}), count() FROM trades WHERE {_KNOWN}"
# The times of the trades around ``[from_ms, to_ms)``; NULL where there is none.
AROUND = f"""
SELECT
    (SELECT {_MS} FROM trades WHERE {_KNOWN} AND ts < {_FROM}
     ORDER BY ts DESC LIMIT 1),
    (SELECT {_MS} FROM trades WHERE {_KNOWN} AND ts >= {_TO}
     ORDER BY ts LIMIT 1)"""
# The time of the first trade after ``to_ms`` that makes a candle.
NEXT = f"SELECT {_MS} FROM trades WHERE {_KNOWN} AND {_MARKET} AND ts > {_TO} ORDER BY ts LIMIT 1"


def last_before(rule: IdRule) -> str:
    """Find the last trade before ``from_ms`` that makes a candle.

    Rows are (price, time, received, scale of prices, of quantities, source).
    """
    order = "rev DESC, place DESC" if rule == "unique" else "id DESC"
    return f"""
SELECT price_int * toInt128(intExp10({SCALE} - price_scale)), {_MS}, {_RECV},
    price_scale, qty_scale, toString(source)
FROM trades
WHERE {_KNOWN} AND {_MARKET} AND ts < {_FROM}
ORDER BY ts DESC, {order}
LIMIT 1"""


def stored(windows: Iterable[tuple[Interval, int, int]]) -> str:
    """Read the candles of each (interval, first open, last open); numbers are decimals."""
    wanted = " OR ".join(
        f"(interval_ms = {interval.length_ms} AND anchor = '{interval.anchor}'"
        f" AND open_time >= fromUnixTimestamp64Milli(toInt64({first_ms}))"
        f" AND open_time <= fromUnixTimestamp64Milli(toInt64({last_ms})))"
        for interval, first_ms, last_ms in windows
    )
    return f"""
SELECT
    interval_ms, toString(anchor), toUnixTimestamp64Milli(open_time), rev, toString(quality),
    missing, open, high, low, close, volume, trade_count, first_id, last_id
FROM klines FINAL
WHERE {_SERIES} AND ({wanted}) AND closed"""


def _span(rule: IdRule) -> str:
    if rule == "range":
        return "first_id AS first, last_id AS last"
    return "id AS first, id AS last"


def _without(refused: Places) -> str:
    if not refused:
        return ""
    return f" AND (rev, place) NOT IN ({', '.join(f'({rev}, {place})' for rev, place in refused)})"


def _numbers(values: Iterable[int]) -> str:
    return ", ".join(map(str, values))
