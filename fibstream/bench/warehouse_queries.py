"""What is asked of a month in the warehouse, timed: from the question to columns in Python.

Three ways to ask the same: the query API for chosen columns as floats, the query API for all
fields of a candle, exact, and plain SQL to floats. The API is the gateway's own ``Warehouse``, over
HTTP as every reader asks. The candles are made here, by SQL: a minute for each minute of the month
and symbol, a year of one symbol.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fibstream.bench.footprint import footprint
from fibstream.bench.warehouse_load import CHANNEL, EXCHANGE, FROM_MS, Month, name_of
from runtime.settings import Settings
from schemas.clickhouse import any_interval
from schemas.clickhouse.pieces import Query, Series
from schemas.intervals import DAY_MS, HOUR_MS, MINUTE_MS, Interval
from sinks.gateway.warehouse import CandlesAsked, Warehouse

ROUNDS = 15
ROWS_MAX = 600_000
YEAR_DAYS = 365
SYMBOL = 42
YEAR_SYMBOL = 7
TRADES_SYMBOL = 41  # of which there is no candle
FIBONACCI = Interval(173 * MINUTE_MS)
NUMBERS = ("open", "high", "low", "close", "volume", "quote_volume")
CHOSEN = ("timestamp", *NUMBERS, "closed")

Floats = npt.NDArray[np.float64]
Answers = dict[str, float]


_SERIES = f"exchange = '{EXCHANGE}' AND channel = '{CHANNEL}'"
_MS = "toUnixTimestamp64Milli"


class Asked(NamedTuple):
    """One question, and how many rows answer it at least."""

    name: str
    read: Callable[[], Awaitable[bytes]]
    """Returns an Arrow stream."""
    rows_min: int


def candle_inserts(month: Month) -> Iterator[str]:
    """Yield the statements that make the candles."""
    until_ms = month.until_ms
    every = [number for number in range(month.symbols) if number != TRADES_SYMBOL]
    year_ms = FIBONACCI.open_ms(until_ms - YEAR_DAYS * DAY_MS)
    yield _insert(every, Interval(MINUTE_MS), FROM_MS, until_ms)
    yield _insert(every, Interval(HOUR_MS), FROM_MS, until_ms)
    yield _insert([YEAR_SYMBOL], Interval(MINUTE_MS), year_ms, FROM_MS)
    yield _insert([YEAR_SYMBOL], FIBONACCI, year_ms, until_ms)


def _insert(symbols: Sequence[int], interval: Interval, from_ms: int, until_ms: int) -> str:
    """Return what makes the candles of ``[from_ms, until_ms)``.

    Prices of two decimals wander around a slow wave: to a codec as the real ones do.
    """
    step, names = interval.length_ms, ", ".join(f"'{name_of(symbol)}'" for symbol in symbols)
    candles = (until_ms - from_ms) // step
    return f"""
INSERT INTO klines (exchange, channel, symbol, interval_ms, anchor, open_time, close_time,
    open, high, low, close, volume, quote_volume, taker_buy_volume, taker_buy_quote_volume,
    trade_count, first_id, last_id, closed, rev, cause, quality, missing, recv_time, version)
WITH cityHash64(number) AS noise, intDiv(number, {candles}) AS place, number % {candles} AS n,
    toInt64(2800000 + place * 10000 + 90000 * sin(n / 700) + noise % 4000) AS o,
    toInt64(o + toInt64(intDiv(noise, 4096) % 3000) - 1500) AS c,
    1 + intDiv(noise, 65536) % 900000 AS v,
    fromUnixTimestamp64Milli(toInt64({from_ms} + n * {step})) AS opens,
    opens + toIntervalMillisecond({step}) AS closes
SELECT '{EXCHANGE}', '{CHANNEL}', [{names}][place + 1], {step}, '', opens, closes,
    toDecimal128(o, 12) / 100, toDecimal128(greatest(o, c) + noise % 700, 12) / 100,
    toDecimal128(least(o, c) - noise % 600, 12) / 100, toDecimal128(c, 12) / 100,
    toDecimal128(v, 12) / 1000, toDecimal128(v * o, 18) / 100000,
    toDecimal128(intDiv(v, 2), 12) / 1000, toDecimal128(intDiv(v, 2) * o, 18) / 100000,
    3 + noise % 50, n * 50, n * 50 + 49, true, n, 'live', 'proven', 0, closes, 2 * n + 1
FROM numbers({candles * len(symbols)})"""  # noqa: S608 - numbers and our own words


def measure(settings: Settings, port: int, pid: int, month: Month) -> dict[str, Any]:
    """Return the milliseconds of each question, in the middle of some rounds, and its CPU.

    CPU is that of the engine and of the asker together: on a busy machine it tells more.
    """
    return asyncio.run(_measured(settings, port, pid, month))


async def _measured(settings: Settings, port: int, pid: int, month: Month) -> dict[str, Any]:
    warehouse = Warehouse(settings.model_copy(update={"clickhouse_http_port": port}))
    try:
        ways = {
            "api": api_questions(warehouse, month, CHOSEN, floats=True),
            "exact": api_questions(warehouse, month, (), floats=False),
            "sql": _plain(warehouse, month),
        }
        found = {way: await _answers(pid, questions) for way, questions in ways.items()}
    finally:
        await warehouse.close()
    report: dict[str, Any] = {}
    for way, (answers_ms, cpu_ms) in found.items():
        report |= {f"{way}_ms": answers_ms, f"{way}_cpu_ms": cpu_ms}
    return report


async def _answers(pid: int, every: Iterable[Asked]) -> tuple[Answers, Answers]:
    found, cpu_ms = {}, {}
    for asked in every:
        await _timed(asked, 1)  # from the disk
        started_s = footprint(pid).cpu_s + time.process_time()
        found[asked.name] = await _timed(asked, ROUNDS)
        spent_s = footprint(pid).cpu_s + time.process_time() - started_s
        cpu_ms[asked.name] = round(spent_s * 1_000 / ROUNDS, 1)
    return found, cpu_ms


def api_questions(
    warehouse: Warehouse, month: Month, columns: Sequence[str], *, floats: bool
) -> Iterator[Asked]:
    """Yield what a strategy asks for, as the gateway answers it."""
    until_ms, minute = month.until_ms, Interval(MINUTE_MS)
    minutes, year_ms, windows = _counts(month)
    # Up to the end of the last candle that is closed, as a backtest asks.
    year = year_ms, year_ms + windows * FIBONACCI.length_ms

    def ask(
        symbol: int, interval: Interval, from_ms: int, to_ms: int, *, from_minutes: bool = False
    ) -> Callable[[], Awaitable[bytes]]:
        span = from_ms, to_ms, ROWS_MAX, False, columns, floats
        asked = CandlesAsked(_series(symbol), interval, *span)

        async def read() -> bytes:
            there = await warehouse.covering(asked)
            if from_minutes:  # as if no candle of this interval were stored
                there = there._replace(stored_from_ms=0, stored_until_ms=0)
            return (await warehouse.kline_file(asked, there, "ArrowStream"))[0]

        return read

    async def everywhere() -> bytes:
        query = any_interval.everywhere(Interval(HOUR_MS), until_ms - DAY_MS, until_ms, ROWS_MAX)
        if columns:
            query = any_interval.picked(query, ("symbol", *columns), floats=floats)
        return await warehouse.ask(query, "ArrowStream")

    yield Asked("month_1m_ms", ask(SYMBOL, minute, FROM_MS, until_ms), minutes)
    yield Asked(
        "month_1m_from_trades_ms",
        ask(TRADES_SYMBOL, minute, FROM_MS, until_ms),
        _traded_minutes_min(month),
    )
    yield Asked("year_173m_ms", ask(YEAR_SYMBOL, FIBONACCI, *year), windows)
    yield Asked(
        "year_173m_from_minutes_ms", ask(YEAR_SYMBOL, FIBONACCI, *year, from_minutes=True), windows
    )
    yield Asked("all_symbols_24h_1h_ms", everywhere, 24 * (month.symbols - 1))


def _plain(warehouse: Warehouse, month: Month) -> Iterator[Asked]:
    """Yield the same as SQL that an analyst writes: times, prices and volumes, as floats."""
    from_ms, until_ms = FROM_MS, month.until_ms
    minute, hour = Interval(MINUTE_MS), Interval(HOUR_MS)
    minutes, year_ms, windows = _counts(month)
    one, year = name_of(SYMBOL), name_of(YEAR_SYMBOL)
    per_day = 24 * (month.symbols - 1)
    for name, sql, rows_min in (
        ("month_1m_ms", _stored(one, minute, from_ms, until_ms), minutes),
        (
            "month_1m_from_trades_ms",
            _of_trades(one, from_ms, until_ms),
            _traded_minutes_min(month),
        ),
        ("year_173m_ms", _stored(year, FIBONACCI, year_ms, until_ms), windows),
        ("year_173m_from_minutes_ms", _of_minutes(year, year_ms, until_ms), windows),
        ("all_symbols_24h_1h_ms", _stored("", hour, until_ms - DAY_MS, until_ms), per_day),
    ):
        yield Asked(name, partial(warehouse.ask, Query(sql, {}), "ArrowStream"), rows_min)


def _traded_minutes_min(month: Month) -> int:
    """Return how many minutes of a symbol have a trade, at least: not each one has."""
    return min(month.days * DAY_MS // MINUTE_MS, month.trades // month.symbols) // 2


def _counts(month: Month) -> tuple[int, int, int]:
    """Return the minutes of the month, where the year begins, and its windows of 173 minutes."""
    year_ms = FIBONACCI.open_ms(month.until_ms - YEAR_DAYS * DAY_MS) + FIBONACCI.length_ms
    return (
        month.days * DAY_MS // MINUTE_MS,
        year_ms,
        (month.until_ms - year_ms) // FIBONACCI.length_ms,
    )


def _stored(symbol: str, interval: Interval, from_ms: int, until_ms: int) -> str:
    of, names = (f" AND symbol = '{symbol}'", "") if symbol else ("", "symbol, ")
    numbers = ", ".join(f"toFloat64({name}) AS f_{name}" for name in NUMBERS)
    return f"""
SELECT {names}{_MS}(open_time) AS timestamp, {numbers}
FROM klines
WHERE {_SERIES}{of} AND interval_ms = {interval.length_ms} AND anchor = ''
    AND open_time >= {_at(from_ms)} AND open_time < {_at(until_ms)}
ORDER BY {names}open_time, version DESC
LIMIT 1 BY {names}open_time"""  # noqa: S608


def _of_trades(symbol: str, from_ms: int, until_ms: int) -> str:
    return f"""
SELECT intDiv({_MS}(ts), {MINUTE_MS}) * {MINUTE_MS} AS timestamp,
    argMin(p, id) AS f_open, max(p) AS f_high, min(p) AS f_low, argMax(p, id) AS f_close,
    sum(v) AS f_volume, sum(p * v) AS f_quote_volume
FROM
(
    SELECT ts, id, price_int / exp10(price_scale) AS p, qty_int / exp10(qty_scale) AS v
    FROM trades FINAL
    WHERE {_SERIES} AND symbol = '{symbol}' AND ts >= {_at(from_ms)} AND ts < {_at(until_ms)}
)
GROUP BY timestamp
ORDER BY timestamp"""  # noqa: S608


def _of_minutes(symbol: str, from_ms: int, until_ms: int) -> str:
    step = FIBONACCI.length_ms
    return f"""
SELECT intDiv({_MS}(open_time), {step}) * {step} AS timestamp,
    toFloat64(argMin(open, open_time)) AS f_open, toFloat64(max(high)) AS f_high,
    toFloat64(min(low)) AS f_low, toFloat64(argMax(close, open_time)) AS f_close,
    sum(toFloat64(volume)) AS f_volume, sum(toFloat64(quote_volume)) AS f_quote_volume
FROM klines FINAL
WHERE {_SERIES} AND symbol = '{symbol}' AND interval_ms = {MINUTE_MS} AND anchor = ''
    AND open_time >= {_at(from_ms)} AND open_time < {_at(until_ms)}
GROUP BY timestamp
ORDER BY timestamp"""  # noqa: S608


def _at(ms: int) -> str:
    return f"fromUnixTimestamp64Milli(toInt64({ms}))"


def _series(symbol: int) -> Series:
    return Series(EXCHANGE, CHANNEL, name_of(symbol))


async def _timed(asked: Asked, rounds: int) -> float:
    found_ms = []
    for _ in range(rounds):
        started_s = time.perf_counter()
        table = pa.ipc.open_stream(await asked.read()).read_all()
        columns = _columns(table)
        found_ms.append((time.perf_counter() - started_s) * 1_000)
        rows = len(columns["timestamp"])
        if rows < asked.rows_min:
            raise RuntimeError(f"{asked.name}: {rows} rows instead of {asked.rows_min}")
    return round(statistics.median(found_ms), 1)


def _columns(table: pa.Table) -> dict[str, Floats]:
    """Return the numbers of candles as numpy columns; exact decimals become floats."""
    columns = {}
    for name in NUMBERS:
        # Plain SQL calls its floats so: an alias that hides a column would be read in its WHERE.
        column = table[f"f_{name}" if f"f_{name}" in table.schema.names else name]
        columns[name] = column.cast(pa.float64()).to_numpy()
    return columns | {"timestamp": table["timestamp"].to_numpy()}
