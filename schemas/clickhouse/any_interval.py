"""The SQL of candles of any interval: as stored, else of minutes, else of trades, in one statement.

A stored candle stands as it is. The windows between are put together from stored minutes, and from
trades where no minute reaches: before the first one, after the last one, and where an interval is
not of whole minutes. Numbers that stand in the text are ours; names are bound as parameters.
"""
# ruff: noqa: S608 - what is put in is numbers and our own words

from collections.abc import Sequence
from typing import NamedTuple

from schemas.clickhouse import pieces
from schemas.clickhouse.pieces import SERIES, Query, Series, Windows, at, ms
from schemas.integrity import id_rule
from schemas.intervals import MINUTE_MS, Interval
from schemas.rules import EmptyCandles, candle_rule

COLUMNS = ("symbol", "interval", *pieces.MADE, "anchor")
"""Of every answer, in this order: the fields of ``schemas.klines.Kline``."""

DECIMALS = pieces.MADE[1:9]
"""Those of them that are decimals."""

_MADE = ", ".join(pieces.MADE)
_STORED = ", ".join((f"{ms('open_time')} AS timestamp", *pieces.MADE[1:]))


class Coverage(NamedTuple):
    """What is there of a series: the answer to ``coverage``; 0 where there is nothing."""

    stored_from_ms: int = 0
    stored_until_ms: int = 0
    """The end of the last candle of the interval that is stored."""
    minutes_from_ms: int = 0
    minutes_until_ms: int = 0
    """The end of the last stored minute."""
    trades_from_ms: int = 0
    began_ms: int = 0
    """The time of the trade with which the stream began."""
    began_id: int = 0
    trades_until_ms: int = 0
    """The time of the last trade."""
    before_ms: int = 0
    """The time of the last trade or minute before the span."""
    price_scale: int = 0
    qty_scale: int = 0
    stored_windows: int = 0
    """How many windows of the interval are stored, where that is counted."""

    @property
    def from_ms(self) -> int:
        """Return the time of the oldest thing there is; 0: there is nothing."""
        return min((each for each in (self[0], self[2], self[4]) if each), default=0)

    @property
    def until_ms(self) -> int:
        """Return where the youngest thing there is ends."""
        return max(self.stored_until_ms, self.minutes_until_ms, self.trades_until_ms + 1)

    def holds(self, windows: Windows) -> bool:
        """Say whether all the windows are stored; true for good, whatever is inserted later."""
        length_ms = windows.interval.length_ms
        is_full = self.stored_until_ms - self.stored_from_ms == self.stored_windows * length_ms
        return (
            bool(self.stored_until_ms)
            and self.stored_from_ms <= windows.from_ms
            and windows.until_ms <= self.stored_until_ms
            and (is_full or windows.interval == Interval(MINUTE_MS))
        )

    @property
    def closed_until_ms(self) -> int:
        """Return the moment up to which windows are known to have ended."""
        return max(self.stored_until_ms, self.minutes_until_ms, self.trades_until_ms)


def coverage(series: Series, interval: Interval, from_ms: int = 0) -> Query:
    """Ask what there is of a series; one row, ``Coverage``. ``from_ms``: where a span begins."""

    def one(what: str, source: str, order: str) -> str:
        return f"(SELECT {what} FROM {source} ORDER BY {order} LIMIT 1)"

    rule, minute = id_rule(series.exchange), Interval(MINUTE_MS)
    trades = f"trades WHERE {SERIES}"
    market, earlier = f"{trades} AND {pieces.MARKET}", f"< {at(from_ms)}"
    held = {of: f"klines WHERE {SERIES} AND {_of(of)}" for of in (interval, minute)}
    first_id = "first_id" if rule == "range" else "id"
    began = "oldest.1"
    if rule == "unique":  # what came first, not what was first
        until = f"fromUnixTimestamp64Milli(ifNull(oldest.1, 0) + {pieces.BEGINNING_MS})"
        began = f"(SELECT argMin({ms('ts')}, (rev, place)) FROM {trades} AND ts < {until})"
    fields = []
    for source in held.values() if interval != minute else (held[minute],) * 2:
        fields.append(one(ms("open_time"), source, "open_time"))
        fields.append(one(ms("close_time"), source, "open_time DESC"))
    before = "0"
    if from_ms:
        trade = one(ms("ts"), f"{market} AND ts {earlier}", "ts DESC")
        candle = one(ms("open_time"), f"{held[minute]} AND open_time {earlier}", "open_time DESC")
        before = f"greatest(ifNull({trade}, 0), ifNull({candle}, 0))"
    fields += ["oldest.1", began, "oldest.2", "youngest.1", before, "youngest.2", "youngest.3"]
    is_counted = _is_of_minutes(interval) and not interval.is_calendar
    windows = f"SELECT open_time FROM {held[interval]} GROUP BY open_time"
    fields.append(f"(SELECT count() FROM ({windows}))" if is_counted else "0")
    return Query(
        f"""
WITH {one(f"({ms('ts')}, {first_id})", trades, "ts, id")} AS oldest,
    {one(f"({ms('ts')}, price_scale, qty_scale)", market, "ts DESC")} AS youngest
SELECT {", ".join(f"ifNull({each}, 0)" for each in fields)}""",
        series.bound(),
    )


def stored(
    series: Series,
    interval: Interval,
    start_ms: int,
    end_ms: int,
    limit: int,
    *,
    newest: bool = False,
) -> Query:
    """Ask for the stored candles that open in ``[start_ms, end_ms)``, oldest first."""
    rows = f"""
SELECT symbol, interval_ms AS interval, {_STORED}, anchor
FROM klines
WHERE {SERIES} AND {_of(interval)} AND {_opens(start_ms, end_ms)}
ORDER BY timestamp, version DESC
LIMIT 1 BY timestamp"""
    return Query(_limited(rows, limit, newest=newest), series.bound())


def everywhere(interval: Interval, start_ms: int, end_ms: int, limit: int) -> Query:
    """Ask for the stored candles of every series that open in ``[start_ms, end_ms)``."""
    return Query(
        f"""
SELECT exchange, channel, symbol, interval_ms AS interval, {_STORED}, anchor
FROM klines
WHERE {_of(interval)} AND {_opens(start_ms, end_ms)}
ORDER BY exchange, channel, symbol, timestamp, version DESC
LIMIT 1 BY exchange, channel, symbol, timestamp
LIMIT {limit}""",
        {},
    )


def candles(
    series: Series,
    interval: Interval,
    start_ms: int,
    end_ms: int,
    limit: int,
    there: Coverage,
    *,
    newest: bool = False,
    empty: EmptyCandles = "venue",
) -> Query:
    """Ask for the candles that open in ``[start_ms, end_ms)``, oldest first, the running one too.

    Of more than ``limit`` the oldest are taken, or the ``newest``.
    """
    start_ms = max(start_ms, interval.open_ms(there.from_ms))
    end_ms = min(end_ms, there.until_ms)
    if not there.from_ms or start_ms >= end_ms:
        return stored(series, interval, 0, 0, limit)
    windows = Windows.within(interval, start_ms, end_ms)
    if there.holds(windows):
        return stored(series, interval, start_ms, end_ms, limit, newest=newest)
    rule = candle_rule(series.exchange, empty)
    carries = rule.fills or rule.opens_at_close
    if carries:  # the last close before is where they begin
        windows = windows.reaching(there.before_ms)
    parts = []
    if there.stored_until_ms:
        parts.append(_stored(windows, there))
    made = _pieces(series, windows, there)
    if len(made) == 1 and "FROM trades" in made[0]:
        parts.append(pieces.alone(made[0], windows, there.closed_until_ms))
    elif made:
        ids = id_rule(series.exchange)
        parts.append(
            pieces.merged("\nUNION ALL".join(made), windows, rule, ids, there.closed_until_ms)
        )
    if not parts:
        return stored(series, interval, 0, 0, limit)
    rows = "\nUNION ALL".join(parts)
    if carries:
        rows = pieces.carried(rows, windows, rule, id_rule(series.exchange), there.closed_until_ms)
    rows = f"""
SELECT {{symbol:String}} AS symbol, {interval.length_ms} AS interval, {_MADE},
    '{interval.anchor}' AS anchor
FROM (
{rows}
)
WHERE timestamp >= {windows.first_ms}
ORDER BY timestamp"""
    return Query(_limited(rows, limit, newest=newest), series.bound())


def _pieces(series: Series, windows: Windows, there: Coverage) -> list[str]:
    """Return the SQL of what candles are made of where none is stored."""
    held, found = [], []
    if there.stored_until_ms:
        held.append((there.stored_from_ms, there.stored_until_ms))
    if _is_of_minutes(windows.interval) and there.minutes_until_ms:
        held.append((there.minutes_from_ms, there.minutes_until_ms))
        found += _minutes(windows, there)
    if there.trades_from_ms:
        rule = id_rule(series.exchange)
        began = there.began_ms, there.began_id
        found += [
            pieces.trades(windows, rule, from_ms, to_ms, began)
            for from_ms, to_ms in _outside(held, windows, there)
        ]
    return found


def picked(query: Query, columns: Sequence[str], floats: bool = False) -> Query:
    """Ask for some of the columns of candles; only these are read.

    ``floats``: decimals become floats in the engine, the nearest there are.
    """
    told = (f"toFloat64({c}) AS {c}" if floats and c in DECIMALS else c for c in columns)
    return Query(f"SELECT {', '.join(told)} FROM ({query.sql})", query.parameters)


def _minutes(windows: Windows, there: Coverage) -> list[str]:
    """Return the minutes of windows that are not stored: before them, after them, and in holes."""
    from_ms = max(windows.from_ms, there.minutes_from_ms)
    until_ms = min(windows.until_ms, there.minutes_until_ms)
    if not there.stored_until_ms:
        return [pieces.minutes(windows, from_ms, until_ms)]
    found = []
    if from_ms < (end_ms := min(until_ms, there.stored_from_ms)):
        found.append(pieces.minutes(windows, from_ms, end_ms))
    first_ms = max(windows.from_ms, there.stored_from_ms)
    end_ms = min(windows.until_ms, there.stored_until_ms)
    is_full = there.holds(windows._replace(from_ms=first_ms, until_ms=end_ms))
    if max(first_ms, from_ms) < min(end_ms, until_ms) and not is_full:
        stored = f"klines WHERE {SERIES} AND {_of(windows.interval)} AND {_opens(first_ms, end_ms)}"
        found.append(pieces.minutes_of_holes(windows, first_ms, end_ms, stored))
    if (first_ms := max(from_ms, there.stored_until_ms)) < until_ms:
        found.append(pieces.minutes(windows, first_ms, until_ms))
    return found


def _outside(
    held: list[tuple[int, int]], windows: Windows, there: Coverage
) -> list[tuple[int, int]]:
    """Return the spans of the windows that nothing stored covers and trades may."""
    at_ms, found = max(windows.from_ms, there.trades_from_ms), []
    end_ms = min(windows.until_ms, there.trades_until_ms + 1)
    for from_ms, to_ms in sorted(held):
        found.append((at_ms, min(from_ms, end_ms)))
        at_ms = max(at_ms, to_ms)
    found.append((at_ms, end_ms))
    return [(from_ms, to_ms) for from_ms, to_ms in found if from_ms < to_ms]


def _stored(windows: Windows, there: Coverage) -> str:
    # What is inserted after the coverage was told is left to the trades that it is made of.
    opens = _opens(
        max(windows.from_ms, there.stored_from_ms), min(windows.until_ms, there.stored_until_ms)
    )
    return f"""
SELECT {_STORED}
FROM klines FINAL
WHERE {SERIES} AND {_of(windows.interval)} AND {opens}"""


def _is_of_minutes(interval: Interval) -> bool:
    return interval.length_ms % MINUTE_MS == 0 and interval != Interval(MINUTE_MS)


def _of(interval: Interval) -> str:
    return f"interval_ms = {interval.length_ms} AND anchor = '{interval.anchor}'"


def _opens(start_ms: int, end_ms: int) -> str:
    return f"open_time >= {at(start_ms)} AND open_time < {at(end_ms)}"


def _limited(rows: str, limit: int, *, newest: bool) -> str:
    """Return the oldest of rows in order of time, or the newest; oldest first in either case."""
    if not newest:
        return f"{rows}\nLIMIT {limit}"
    last = f"SELECT * FROM ({rows})\nORDER BY timestamp DESC LIMIT {limit}"
    return f"SELECT * FROM ({last})\nORDER BY timestamp"
