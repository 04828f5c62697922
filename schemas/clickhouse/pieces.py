"""The parts that candles of any interval are put together from, as SQL: stored, minutes, trades.

A piece is the sums of trades that follow one another inside one window; pieces of a window do not
overlap in time, so that ``at`` orders them. Sums are exact: integers, or Decimals of fixed scale.
"""
# ruff: noqa: S608 - what is put in is numbers and our own words

from typing import NamedTuple

from schemas.intervals import MINUTE_MS, SECOND_MS, Interval
from schemas.rules import FLAT_WINDOWS_MAX, CandleRule
from schemas.trades import Flag, IdRule

SERIES = "exchange = {exchange:String} AND channel = {channel:String} AND symbol = {symbol:String}"
MARKET = f"bitAnd(flags, {Flag.NON_MARKET.value}) = 0"
MARGIN_MS = 10 * SECOND_MS  # neighbours by id are sought among those by time
BEGINNING_MS = 10 * MINUTE_MS  # of the trades of this time one came first
_SHIFT = "toInt128('18446744073709551616')"  # 2 ** 64
_ARRIVAL = "toInt256(rev) * 4294967296 + place"
_ORDER: dict[IdRule, str] = {
    "dense": f"toInt128(t) * {_SHIFT} + id",
    "range": f"toInt128(t) * {_SHIFT} + id",
    "unique": "toInt256(t) * toInt256('39614081257132168796771975168') + arrival",  # 2 ** 95
}
_ATTO = "toDecimal256('1000000000000000000', 0)"
_IDS: dict[IdRule, tuple[str, str]] = {"dense": ("id", "id"), "range": ("first_id", "last_id")}
PROVEN, ASSUMED, GAP = range(3)  # the worst of a window's pieces counts
_QUALITIES = "['proven', 'assumed', 'gap']"


MADE = (
    *("timestamp", "open", "high", "low", "close"),
    *("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume"),
    *("trade_count", "first_id", "last_id", "closed", "rev", "cause", "quality", "missing"),
)
"""The columns of a candle that are not its name, in the order of every answer."""


class Query(NamedTuple):
    """One statement and the texts to bind in it, by name (``param_<name>`` over HTTP)."""

    sql: str
    parameters: dict[str, str]


class Series(NamedTuple):
    """Whose candles or trades."""

    exchange: str
    channel: str
    symbol: str

    def bound(self) -> dict[str, str]:
        """Return the parameters of ``SERIES``."""
        return self._asdict()


class Windows(NamedTuple):
    """The windows of one interval from ``from_ms`` to ``until_ms``; asked for from ``first_ms``."""

    interval: Interval
    first_ms: int
    from_ms: int
    until_ms: int

    @classmethod
    def within(cls, interval: Interval, start_ms: int, end_ms: int) -> "Windows":
        """Return the windows that open in ``[start_ms, end_ms)``."""
        open_ms, after_ms = interval.window(start_ms)
        first_ms = open_ms if open_ms >= start_ms else after_ms
        until_ms = interval.window(end_ms - 1)[1] if first_ms < end_ms else first_ms
        return cls(interval, first_ms, first_ms, until_ms)

    def reaching(self, at_ms: int) -> "Windows":
        """Return them with those before, down to the one that holds ``at_ms``."""
        return self._replace(from_ms=self.interval.open_ms(at_ms)) if at_ms else self

    def open_of(self, t: str) -> str:
        """Return the open time of the window that holds the time ``t``, as SQL."""
        if not self.interval.is_calendar:
            offset_ms = self.from_ms % self.interval.length_ms  # weeks do not open on the epoch
            length_ms = self.interval.length_ms
            return f"intDiv({t} - {offset_ms}, {length_ms}) * {length_ms} + {offset_ms}"
        return f"roundDown({t}, {_array(self._edges()[:-1])})"

    def end_of(self, open_ms: str) -> str:
        """Return the end of the window that opens at ``open_ms``, as SQL."""
        if not self.interval.is_calendar:
            return f"{open_ms} + {self.interval.length_ms}"
        edges = self._edges()
        ends = f"{_array(edges[:-1])}, {_array(edges[1:])}"
        return f"transform({open_ms}, {ends}, toInt64(0))"

    def after(self, open_ms: str, until_ms: str) -> str:
        """Return the open times after ``open_ms`` and before ``until_ms``, as an SQL array."""
        most = FLAT_WINDOWS_MAX * self.interval.length_ms
        if not self.interval.is_calendar:
            first = self.end_of(open_ms)
            return f"range({first}, least({until_ms}, {first} + {most}), {self.interval.length_ms})"
        held = f"e -> e > {open_ms} AND e < least({until_ms}, {open_ms} + {most})"
        return f"arrayFilter({held}, {_array(self._edges()[:-1])})"

    def _edges(self) -> list[int]:
        edges = [self.from_ms]
        while edges[-1] < self.until_ms:
            edges.append(self.interval.end_ms(edges[-1]))
        return edges


def _array(values: list[int]) -> str:
    return f"CAST({values} AS Array(Int64))"


def ms(column: str) -> str:
    """Return a time as milliseconds, as SQL."""
    return f"toUnixTimestamp64Milli({column})"


def at(time_ms: int) -> str:
    """Return a moment as a time, as SQL."""
    return f"fromUnixTimestamp64Milli(toInt64({time_ms}))"


def minutes(windows: Windows, from_ms: int, to_ms: int) -> str:
    """Return the stored minutes that open in ``[from_ms, to_ms)``."""
    return _minutes(windows, f"open_time >= {at(from_ms)} AND open_time < {at(to_ms)}")


def minutes_of_holes(windows: Windows, from_ms: int, to_ms: int, stored: str) -> str:
    """Return the stored minutes of windows in ``[from_ms, to_ms)`` that are not among ``stored``.

    Where none is missing, no minute is read: only from the first hole to the last one.
    """
    opens = windows.open_of(ms("open_time"))
    span = "open_time >= fromUnixTimestamp64Milli(holes.1) AND "
    span += "open_time < fromUnixTimestamp64Milli(holes.2)"
    unwanted = f"{opens} NOT IN (SELECT {ms('open_time')} FROM {stored})"
    return f"""
WITH (
    SELECT (toInt64(min(after)), toInt64(max(next))) FROM (
        SELECT after, leadInFrame(open_ms, 1, toInt64({to_ms})) OVER
            (ORDER BY open_ms, after ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
            AS next
        FROM (
            SELECT toInt64({from_ms}) AS open_ms, open_ms AS after
            UNION ALL SELECT DISTINCT {ms("open_time")}, {ms("close_time")} FROM {stored}
        )
    ) WHERE next > after
) AS holes{_minutes(windows, f"{span} AND {unwanted}")}"""


def _minutes(windows: Windows, wanted: str) -> str:
    return f"""
SELECT {windows.open_of(ms("open_time"))} AS timestamp, toUnixTimestamp64Milli(open_time) AS at,
    open, high, low, close,
    volume, quote_volume, taker_buy_volume, taker_buy_quote_volume, trade_count, first_id, last_id,
    rev, cause, transform(quality, ['gap', 'assumed'], [{GAP}, {ASSUMED}], {PROVEN}) AS doubt,
    missing
FROM klines FINAL
WHERE {SERIES} AND interval_ms = {MINUTE_MS} AND anchor = '' AND {wanted}"""


def trades(windows: Windows, rule: IdRule, from_ms: int, to_ms: int, began: tuple[int, int]) -> str:
    """Return one piece a window of the trades of ``[from_ms, to_ms)``.

    ``began``: the time of the series' first trade, and its id.
    """
    span = f"ts >= {at(from_ms)} AND ts < {at(to_ms)}"
    opened, doubt = windows.open_of("r.t"), _doubt(rule, began)
    rev = "rev" if rule == "unique" else "greatest(rev, ifNull(sealed_rev, rev))"
    return f"""
SELECT timestamp, at, open, high, low, close, volume, quote_volume, taker_buy_volume,
    taker_buy_quote_volume, trade_count, first_id, last_id, {rev} AS rev, cause,
    {doubt} AS doubt, lost AS missing
FROM
(
    WITH {_gaps(rule, from_ms, to_ms)} AS gaps,
        (SELECT rev FROM trades WHERE {SERIES} AND {MARKET} AND ts >= {at(to_ms)}
            ORDER BY ts LIMIT 1) AS later_rev
    SELECT {opened} AS timestamp, min(r.t) AS at,
        {_decimal("argMin(r.price, r.position)")} AS open, {_decimal("max(r.price)")} AS high,
        {_decimal("min(r.price)")} AS low, {_decimal("argMax(r.price, r.position)")} AS close,
        {_decimal("sum(r.size)")} AS volume, {_quote("sum(r.quote)")} AS quote_volume,
        {_decimal("sumIf(r.size, r.side > 0)")} AS taker_buy_volume,
        {_quote("sumIf(r.quote, r.side > 0)")} AS taker_buy_quote_volume,
        sum(r.trades) AS trade_count, argMin(r.id, r.position) AS first_id,
        argMax(r.id, r.position) AS last_id, max(r.rev) AS rev,
        argMax(r.source, r.arrival) AS cause,
        arraySum(g -> if(g.1 < {windows.end_of("timestamp")} AND g.2 >= timestamp, g.3, 0), gaps)
            AS lost,
        ifNull(minOrNull(min(r.rev)) OVER
            (ORDER BY timestamp DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), later_rev)
            AS sealed_rev
    FROM
    (
        SELECT {ms("ts")} AS t, id, side, source, rev, last_id - first_id + 1 AS trades,
            price_int * toInt128(intExp10(12 - price_scale)) AS price,
            qty_int * toInt128(intExp10(12 - qty_scale)) AS size,
            toInt256(price) * size AS quote,
            {_ARRIVAL} AS arrival, {_ORDER[rule]} AS position
        FROM trades FINAL
        WHERE {SERIES} AND {span} AND {MARKET}
    ) AS r
    GROUP BY timestamp
)"""


def _doubt(rule: IdRule, began: tuple[int, int]) -> str:
    """Return what is proven of a piece: that its stream began inside it is a gap of no ids."""
    is_whole = rule != "unique" and began[1] <= 1
    inside = "0" if is_whole else f"timestamp <= {began[0]}"
    if rule == "unique":
        return f"if({inside}, {GAP}, {ASSUMED})"
    return f"multiIf(lost > 0 OR {inside}, {GAP}, isNull(sealed_rev), {ASSUMED}, {PROVEN})"


def _gaps(rule: IdRule, from_ms: int, to_ms: int) -> str:
    """Return the missing ids around ``[from_ms, to_ms)`` as an array of (from, to, how many).

    They are sought only where the ids do not add up.
    """
    if rule == "unique":
        return "CAST([] AS Array(Tuple(Int64, Int64, Int64)))"
    first, last = _IDS[rule]
    lower, upper = from_ms - MARGIN_MS, to_ms + MARGIN_MS
    span = f"""{SERIES}
        AND ts >= ifNull((SELECT ts FROM trades WHERE {SERIES} AND ts < {at(lower)}
            ORDER BY ts DESC LIMIT 1), {at(lower)})
        AND ts <= ifNull((SELECT ts FROM trades WHERE {SERIES} AND ts >= {at(upper)}
            ORDER BY ts LIMIT 1), {at(upper)})"""
    lacking = f"""(SELECT max({last}) - min({first}) + 1 - sum({last} - {first} + 1)
        FROM trades FINAL WHERE {span})"""
    return f"""(SELECT groupArray((least(t, before_t), greatest(t, before_t), first - before - 1))
    FROM
    (
        SELECT {first} AS first, {last} AS last, {ms("ts")} AS t, max(last) OVER earlier AS before,
            last_value(t) OVER earlier AS before_t, count() OVER earlier AS number
        FROM trades FINAL
        WHERE {span} AND {lacking} != 0
        WINDOW earlier AS
            (ORDER BY first, last, rev, place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    )
    WHERE number > 0 AND first > before + 1)"""


def _decimal(units: str) -> str:
    """Return an integer at 12 decimals as what it stands for."""
    return f"reinterpret(toInt128({units}), 'Decimal(38, 12)')"


def _quote(units: str) -> str:
    """Return an integer at 24 decimals; a candle has 18 of them."""
    return f"toDecimal128(toDecimal256(intDiv({units}, 1000000), 18) / {_ATTO}, 18)"


def alone(piece: str, windows: Windows, closed_until_ms: int) -> str:
    """Return the candles of one piece a window."""
    return f"""
SELECT p.timestamp AS timestamp, {", ".join(MADE[1:12])},
    CAST({windows.end_of("p.timestamp")} <= {closed_until_ms} AS Bool) AS closed, rev, cause,
    {_QUALITIES}[doubt + 1] AS quality, missing
FROM (
{piece}
) AS p"""


def merged(
    pieces: str, windows: Windows, rule: CandleRule, ids: IdRule, closed_until_ms: int
) -> str:
    """Return the candles of pieces."""
    # A flat minute has no price of its own, except where candles begin with the close before them.
    is_told_flat = rule.fills and not rule.opens_at_close

    def of(function: str, column: str, *, by: str = "", skips_flat: bool = is_told_flat) -> str:
        arguments = f"p.{column}, p.{by}" if by else f"p.{column}"
        plain = f"{function}({arguments})"
        if not skips_flat:
            return plain
        return f"if(sum(p.trade_count) > 0, {function}If({arguments}, p.trade_count > 0), {plain})"

    sums = ", ".join(
        f"sum(p.{name}) AS {name}"
        for name in (
            *("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume"),
            *("trade_count", "missing"),
        )
    )
    if ids == "dense":
        sums = sums.replace("sum(p.missing)", _MISSING)
    return f"""
SELECT {", ".join(MADE)} FROM (
SELECT p.timestamp AS timestamp, {of("argMin", "open", by="at")} AS open,
    {of("max", "high")} AS high, {of("min", "low")} AS low,
    {of("argMax", "close", by="at")} AS close, {sums},
    {of("argMin", "first_id", by="at", skips_flat=rule.fills)} AS first_id,
    {of("argMax", "last_id", by="at", skips_flat=rule.fills)} AS last_id,
    CAST({windows.end_of("p.timestamp")} <= {closed_until_ms} AS Bool) AS closed, max(p.rev) AS rev,
    argMax(p.cause, p.rev) AS cause, {_QUALITIES}[max(p.doubt) + 1] AS quality
FROM (
{pieces}
) AS p
GROUP BY p.timestamp
)"""


# Ids missing between two pieces are told by both of them, and count once.
_MISSING = """greatest(max(p.missing), sum(p.missing) - arraySum(
        (before, after) -> greatest(after.2 - before.3 - 1, 0),
        arrayPopBack(arraySort(groupArrayIf((p.at, p.first_id, p.last_id), p.trade_count > 0))
            AS edges), arrayPopFront(edges)))"""


def carried(candles: str, windows: Windows, rule: CandleRule, ids: IdRule, until_ms: int) -> str:
    """Return candles that begin with the close before, and the flat ones between, where due."""
    flat_opens = windows.after("c.timestamp", "least(next_ms, flat_until_ms)")
    slots = f"arrayConcat([c.timestamp], {flat_opens})" if rule.fills else "[c.timestamp]"
    most_ms = FLAT_WINDOWS_MAX * windows.interval.length_ms
    opened = "c.before" if rule.opens_at_close else "c.open"
    numbers = ", ".join(
        f"if(is_flat, c.{name} - c.{name}, c.{name}) AS {name}"
        for name in ("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
    )
    counts = ", ".join(
        f"if(is_flat, 0, c.{name}) AS {name}"
        for name in ("trade_count", "first_id", "last_id", "missing")
    )
    quality = "assumed" if ids == "unique" else "proven"
    return f"""
SELECT {", ".join(MADE)} FROM (
SELECT arrayJoin({slots}) AS timestamp, timestamp != c.timestamp AS is_flat,
    if(is_flat, c.close, {opened}) AS open, if(is_flat, c.close, greatest(c.high, open)) AS high,
    if(is_flat, c.close, least(c.low, open)) AS low, c.close AS close, {numbers}, {counts},
    CAST(c.closed OR is_flat AS Bool) AS closed, c.rev AS rev, c.cause AS cause,
    if(is_flat, '{quality}', c.quality) AS quality
FROM
(
    SELECT *, lagInFrame(s.close, 1, s.open) OVER w AS before,
        leadInFrame(s.timestamp, 1, {until_ms}) OVER w AS next_ms,
        if(max(s.traded_ms) OVER w = 0, s.timestamp, max(s.traded_ms) OVER
            (ORDER BY s.timestamp ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))
            + {windows.interval.length_ms + most_ms} AS flat_until_ms
    FROM (SELECT *, if(trade_count > 0, timestamp, 0) AS traded_ms FROM (
{candles}
    )) AS s
    WINDOW w AS (ORDER BY s.timestamp ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
) AS c
)
WHERE NOT is_flat OR {windows.end_of("timestamp")} <= {until_ms}"""
