"""The oracle: candles of the raw trades topic by plain SQL in chDB, in exact integers.

It shares no code with the engine that it judges: trades are told apart by their ids, put into
windows by their times, and summed.
"""
# ruff: noqa: S608 - the statements are constants, and what varies is a parameter

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import chdb
import pyarrow as pa
from pyarrow import parquet

from fibstream.chaos.records import TradeRow, trade_rows
from fibstream.chaos.tape import Record
from fibstream.chaos.truth import (
    SCALE,
    Candle,
    CandleKey,
    Expected,
    Frame,
    Hole,
    Stream,
    Truth,
    with_flats,
)
from schemas.rules import VENUE_RULES

CARRYING = [name for name, rule in VENUE_RULES.items() if rule.opens_at_close]
FILLING = [name for name, rule in VENUE_RULES.items() if rule.fills]
TEXTS = ("exchange", "channel", "symbol", "rule", "uid")

# Each trade once, as it came first. Where ids only differ, arrival is the order of a millisecond.
TRADES = f"""
    SELECT *, if(rule = 'unique', record, id) AS major, if(rule = 'unique', place, 0) AS minor,
        toInt256(price) * toInt256(intExp10({SCALE} - price_scale)) AS p,
        toInt256(qty) * toInt256(intExp10({SCALE} - qty_scale)) AS q
    FROM file({{file:String}}, Parquet)
    ORDER BY record, place LIMIT 1 BY exchange, channel, symbol, id, uid
"""
# A window by its frame: when it opens, and when it ends. Calendars are ClickHouse's own.
AT = "fromUnixTimestamp64Milli(ts, 'UTC')"
DATE_MS = "toInt64(toUnixTimestamp(toDateTime({date}, 'UTC'))) * 1000"
WINDOWS = {
    "": ("intDiv(ts, {length:Int64}) * {length:Int64}", "opened + {length:Int64}"),
    "mon": (DATE_MS.format(date=f"toMonday({AT}, 'UTC')"), "opened + 7 * 86400000"),
    "month": (
        DATE_MS.format(date=f"toStartOfMonth({AT}, 'UTC')"),
        DATE_MS.format(date=f"addMonths(toStartOfMonth({AT}, 'UTC'), 1)"),
    ),
    "tz=Asia/Tokyo": (
        f"toInt64(toUnixTimestamp(toStartOfDay({AT}, 'Asia/Tokyo'))) * 1000",
        "opened + 86400000",  # no summer time there
    ),
}
# Flag 1: insurance fund and the like, which belong to no candle. A candle's last revision is late
# where the trade of it that came last came after one of a later window. Some venues open a candle
# at the close of the one before, which its high and low include.
CANDLES = f"""
    SELECT exchange, channel, symbol, opened, ended, is_late,
        if(carries, before, begun), if(carries, greatest(high, before), high),
        if(carries, least(low, before), low), * EXCEPT (exchange, channel, symbol, opened, ended,
            is_late, begun, high, low, before, carries)
    FROM (
        SELECT *, lagInFrame(close) OVER earlier AS before,
            has({{carrying:Array(String)}}, exchange) AND row_number() OVER earlier > 1 AS carries
        FROM (
            SELECT exchange, channel, symbol, opened, any(end_ms) AS ended,
                argMax(newest > opened, (record, place)) AS is_late,
                argMin(p, (ts, major, minor)) AS begun, max(p) AS high, min(p) AS low,
                argMax(p, (ts, major, minor)) AS close, sum(q), sum(p * q), sumIf(q, side > 0),
                sumIf(p * q, side > 0), sum(trades), argMin(id, (ts, major, minor)),
                argMax(id, (ts, major, minor))
            FROM (
                SELECT *, {{opened}} AS opened, {{ended}} AS end_ms,
                    max(opened) OVER (PARTITION BY exchange, channel, symbol ORDER BY record, place
                        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS newest
                FROM ({TRADES}) WHERE bitAnd(flags, 1) = 0
            )
            GROUP BY exchange, channel, symbol, opened
        )
        WINDOW earlier AS (PARTITION BY exchange, channel, symbol ORDER BY opened
            ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
    )
"""
STREAMS = f"""
    SELECT exchange, channel, symbol, any(rule), argMin(begins, (major, minor)),
        argMin(ts, (major, minor)), maxIf(ts, is_real), argMaxIf(p, (ts, major, minor), is_real)
    FROM (SELECT *, bitAnd(flags, 1) = 0 AS is_real, if(rule = 'range', first, id) AS begins
        FROM ({TRADES}))
    GROUP BY exchange, channel, symbol
"""
HOLES = f"""
    SELECT exchange, channel, symbol, before + 1, begins - 1, least(ts, ts_before),
        greatest(ts, ts_before)
    FROM (
        SELECT exchange, channel, symbol, ts, lagInFrame(ts) OVER around AS ts_before,
            if(rule = 'range', first, id) AS begins, if(rule = 'range', last, id) AS ends,
            row_number() OVER around AS place_of_id, lagInFrame(ends) OVER around AS before
        FROM ({TRADES}) WHERE rule != 'unique'
        WINDOW around AS (PARTITION BY exchange, channel, symbol ORDER BY id
            ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
    ) WHERE place_of_id > 1 AND begins > before + 1
"""


def consult(records: Iterable[Record], folder: Path, frames: Iterable[Frame]) -> Truth:
    """Return the truth of the records of the trades topic; writes them to a file of ``folder``."""
    table = _table(records)
    file = folder.resolve() / "trades.parquet"
    parquet.write_table(table, file)
    candles = {key: each for frame in frames for key, each in _candles(file, frame)}
    streams = {
        (exchange, channel, symbol): Stream(rule, int(id_), int(begun), int(last), int(price), [])
        for exchange, channel, symbol, rule, id_, begun, last, price in _rows(STREAMS, file)
    }
    for exchange, channel, symbol, *numbers in _rows(HOLES, file):
        streams[exchange, channel, symbol].holes.append(Hole(*map(int, numbers)))
    return Truth(trades=len(table), candles=with_flats(candles, FILLING), streams=streams)


def _candles(file: Path, frame: Frame) -> Iterator[tuple[CandleKey, Expected]]:
    length_ms, anchor = frame
    opened, ended = WINDOWS[anchor]
    sql = CANDLES.replace("{opened}", opened).replace("{ended}", ended)
    for exchange, channel, symbol, open_ms, end_ms, is_late, *numbers in _rows(sql, file, frame):
        cause = "late" if int(is_late) else "live"
        candle = Candle(*map(int, numbers))
        key = exchange, channel, symbol, length_ms, anchor, int(open_ms)
        yield key, Expected(candle, int(end_ms), cause)


def _rows(sql: str, file: Path, frame: Frame = (0, "")) -> list[list[Any]]:
    params = {"file": str(file), "length": frame[0], "carrying": str(CARRYING)}
    told = chdb.query(sql, "JSONCompactStringsEachRow", params=params)  # type: ignore[no-untyped-call]
    return [json.loads(line) for line in told.bytes().splitlines()]


def _table(records: Iterable[Record]) -> pa.Table:
    rows = [row for record in records for row in trade_rows(record.offset, record.value)]
    told = list(zip(*rows, strict=True)) or [()] * len(TradeRow._fields)
    # Not nullable: SQL would tell a sum over nothing as NULL, and not as 0.
    kinds = [pa.string() if name in TEXTS else pa.int64() for name in TradeRow._fields]
    schema = pa.schema(
        pa.field(name, kind, nullable=False)
        for name, kind in zip(TradeRow._fields, kinds, strict=True)
    )
    arrays = [pa.array(values, field.type) for values, field in zip(told, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
