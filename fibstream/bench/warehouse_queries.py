"""What is asked of a month in the warehouse, timed: from the question to columns in Python.

Over the HTTP endpoint as every reader asks, with the SQL of the query API. The candles are made
here, by SQL: a minute for each minute of the month and symbol, a year of one symbol.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import httpx
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fibstream.bench.footprint import footprint
from fibstream.bench.warehouse_load import CHANNEL, EXCHANGE, FROM_MS, Month, name_of
from schemas.clickhouse import any_interval
from schemas.clickhouse.pieces import Query, Series
from schemas.intervals import DAY_MS, HOUR_MS, MINUTE_MS, Interval

ROUNDS = 15
ROWS_MAX = 600_000
YEAR_DAYS = 365
SYMBOL = 42
YEAR_SYMBOL = 7
TRADES_SYMBOL = 41  # of which there is no candle
FIBONACCI = Interval(173 * MINUTE_MS)
ANSWER_WITHIN_S = 60.0
FORM = {
    "database": "market",
    "default_format": "ArrowStream",
    "output_format_arrow_compression_method": "none",  # it never leaves the machine
}
NUMBERS = ("open", "high", "low", "close", "volume", "quote_volume")

Floats = npt.NDArray[np.float64]


_SERIES = f"exchange = '{EXCHANGE}' AND channel = '{CHANNEL}'"
_MS = "toUnixTimestamp64Milli"


class Asked(NamedTuple):
    """One question, and how many rows answer it at least."""

    name: str
    make: Callable[[httpx.Client], Query]
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


def measure(port: int, pid: int, month: Month) -> dict[str, Any]:
    """Return the milliseconds of each question, in the middle of some rounds, and its CPU.

    CPU is that of the engine and of the asker together: on a busy machine it tells more.
    """
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=ANSWER_WITHIN_S) as client:
        found, cpu_ms = _answers(client, pid, _questions(month))
        proven, proven_cpu_ms = _answers(client, pid, _proven(month))
    return found | {"cpu_ms": cpu_ms, "proven_ms": proven, "proven_cpu_ms": proven_cpu_ms}


def _answers(
    client: httpx.Client, pid: int, every: Iterable[Asked]
) -> tuple[dict[str, float], dict[str, float]]:
    found, cpu_ms = {}, {}
    for asked in every:
        _timed(client, asked, 1)  # from the disk
        started_s = footprint(pid).cpu_s + time.process_time()
        found[asked.name] = _timed(client, asked, ROUNDS)
        spent_s = footprint(pid).cpu_s + time.process_time() - started_s
        cpu_ms[asked.name] = round(spent_s * 1_000 / ROUNDS, 1)
    return found, cpu_ms


def _questions(month: Month) -> Iterator[Asked]:
    """Yield what a strategy asks for: times, prices and volumes, as floats."""
    from_ms, until_ms = FROM_MS, month.until_ms
    minute, hour = Interval(MINUTE_MS), Interval(HOUR_MS)
    minutes, year_ms, windows = _counts(month)
    one, year = name_of(SYMBOL), name_of(YEAR_SYMBOL)
    per_symbol = month.trades // month.symbols  # not every minute has a trade
    yield Asked("month_1m_ms", _stored(one, minute, from_ms, until_ms), minutes)
    yield Asked(
        "month_1m_from_trades_ms", _of_trades(one, from_ms, until_ms), min(minutes, per_symbol) // 2
    )
    yield Asked("year_173m_ms", _stored(year, FIBONACCI, year_ms, until_ms), windows)
    yield Asked("year_173m_from_minutes_ms", _of_minutes(year, year_ms, until_ms), windows)
    yield Asked(
        "all_symbols_24h_1h_ms",
        _stored("", hour, until_ms - DAY_MS, until_ms),
        24 * (month.symbols - 1),
    )


def _proven(month: Month) -> Iterator[Asked]:
    """Yield the same as the query API asks: what is there, then all fields of a candle, exact."""
    from_ms, until_ms, minute = FROM_MS, month.until_ms, Interval(MINUTE_MS)
    minutes, year_ms, windows = _counts(month)
    one, year = _series(SYMBOL), _series(YEAR_SYMBOL)
    yield Asked("month_1m_ms", _candles(one, minute, from_ms, until_ms), minutes)
    yield Asked(
        "month_1m_from_trades_ms", _candles(_series(TRADES_SYMBOL), minute, from_ms, until_ms), 1
    )
    yield Asked("year_173m_ms", _candles(year, FIBONACCI, year_ms, until_ms), windows)
    yield Asked(
        "year_173m_from_minutes_ms",
        _candles(year, FIBONACCI, year_ms, until_ms, from_minutes=True),
        windows,
    )
    day_ms = until_ms - DAY_MS
    yield Asked(
        "all_symbols_24h_1h_ms",
        lambda _: any_interval.everywhere(Interval(HOUR_MS), day_ms, until_ms, ROWS_MAX),
        24 * (month.symbols - 1),
    )


def _counts(month: Month) -> tuple[int, int, int]:
    """Return the minutes of the month, where the year begins, and its windows of 173 minutes."""
    year_ms = FIBONACCI.open_ms(month.until_ms - YEAR_DAYS * DAY_MS) + FIBONACCI.length_ms
    return (
        month.days * DAY_MS // MINUTE_MS,
        year_ms,
        (month.until_ms - year_ms) // FIBONACCI.length_ms,
    )


def _stored(
    symbol: str, interval: Interval, from_ms: int, until_ms: int
) -> Callable[[httpx.Client], Query]:
    of, names = (f" AND symbol = '{symbol}'", "") if symbol else ("", "symbol, ")
    numbers = ", ".join(f"toFloat64({name}) AS f_{name}" for name in NUMBERS)
    sql = f"""
SELECT {names}{_MS}(open_time) AS timestamp, {numbers}
FROM klines
WHERE {_SERIES}{of} AND interval_ms = {interval.length_ms} AND anchor = ''
    AND open_time >= {_at(from_ms)} AND open_time < {_at(until_ms)}
ORDER BY {names}open_time, version DESC
LIMIT 1 BY {names}open_time"""  # noqa: S608
    return lambda _: Query(sql, {})


def _of_trades(symbol: str, from_ms: int, until_ms: int) -> Callable[[httpx.Client], Query]:
    sql = f"""
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
    return lambda _: Query(sql, {})


def _of_minutes(symbol: str, from_ms: int, until_ms: int) -> Callable[[httpx.Client], Query]:
    step = FIBONACCI.length_ms
    sql = f"""
SELECT intDiv({_MS}(open_time), {step}) * {step} AS timestamp,
    toFloat64(argMin(open, open_time)) AS f_open, toFloat64(max(high)) AS f_high,
    toFloat64(min(low)) AS f_low, toFloat64(argMax(close, open_time)) AS f_close,
    sum(toFloat64(volume)) AS f_volume, sum(toFloat64(quote_volume)) AS f_quote_volume
FROM klines FINAL
WHERE {_SERIES} AND symbol = '{symbol}' AND interval_ms = {MINUTE_MS} AND anchor = ''
    AND open_time >= {_at(from_ms)} AND open_time < {_at(until_ms)}
GROUP BY timestamp
ORDER BY timestamp"""  # noqa: S608
    return lambda _: Query(sql, {})


def _at(ms: int) -> str:
    return f"fromUnixTimestamp64Milli(toInt64({ms}))"


def _series(symbol: int) -> Series:
    return Series(EXCHANGE, CHANNEL, name_of(symbol))


def _candles(
    series: Series, interval: Interval, from_ms: int, until_ms: int, *, from_minutes: bool = False
) -> Callable[[httpx.Client], Query]:
    """Ask as the query API does: what is there, then the candles.

    ``from_minutes``: as if no candle of this interval were stored.
    """

    def make(client: httpx.Client) -> Query:
        asked = any_interval.coverage(series, interval, from_ms)
        there = any_interval.Coverage(*(c[0].as_py() for c in _ask(client, asked).columns))
        if from_minutes:
            there = there._replace(stored_from_ms=0, stored_until_ms=0)
        return any_interval.candles(series, interval, from_ms, until_ms, ROWS_MAX, there)

    return make


def _timed(client: httpx.Client, asked: Asked, rounds: int) -> float:
    found_ms = []
    for _ in range(rounds):
        started_s = time.perf_counter()
        query = asked.make(client)
        columns = _columns(_ask(client, query))
        found_ms.append((time.perf_counter() - started_s) * 1_000)
        rows = len(columns["timestamp"])
        if rows < asked.rows_min:
            raise RuntimeError(f"{asked.name}: {rows} rows instead of {asked.rows_min}")
    return round(statistics.median(found_ms), 1)


def _ask(client: httpx.Client, query: Query) -> pa.Table:
    bound = {f"param_{name}": value for name, value in query.parameters.items()}
    answer = client.post("/", params=FORM | bound, content=query.sql)
    if answer.is_error:
        raise RuntimeError(answer.text)
    return pa.ipc.open_stream(answer.content).read_all()


def _columns(table: pa.Table) -> dict[str, Floats]:
    """Return the numbers of candles as numpy columns; exact decimals become floats."""
    columns = {}
    for name in NUMBERS:
        is_float = f"f_{name}" in table.schema.names
        column = table[f"f_{name}"] if is_float else table[name].cast(pa.float64())
        columns[name] = column.to_numpy()
    return columns | {"timestamp": table["timestamp"].to_numpy()}
