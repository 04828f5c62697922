"""Tickers, funding, open interest and liquidations as rows: the raw updates, and the merged ticker.

Where a venue tells no time, ours stands in ``ts``: a row without a time could not be found again.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

from schemas.snapshots import TickerSnapshot, TickerSnapshotEnvelope, decode_ticker_snapshots
from schemas.updates import FundingUpdates, LiquidationUpdates, OpenInterestUpdates, TickerUpdates
from sinks.base import Record, Refused
from sinks.clickhouse.columns import (
    INT64_MAX,
    MS,
    NAME,
    TIME_MS_MAX,
    Columns,
    Unfit,
    fitting,
)
from sinks.clickhouse.table import Rows

NUMBER = pa.decimal128(38, 18)
SECOND = pa.timestamp("s", "UTC")
NS = pa.timestamp("ns", "UTC")

_MARKET = {"exchange": NAME, "channel": NAME, "symbol": NAME}
UPDATE = {**_MARKET, "ts": MS, "rev": pa.uint64(), "place": pa.uint32(), "recv_time": NS}
"""What every row of a raw topic has: (rev, place) is its place in the log."""
STATE = {**_MARKET, "time": SECOND, "ts": MS, "rev": pa.uint64(), "recv_time": MS}
"""What every row of merged state has: of one second the highest ``rev`` is true."""
_TICKER = {
    "is_snapshot": pa.bool_(),
    "last_price": NUMBER,
    "last_size": NUMBER,
    "tick_direction": NAME,
    "price_24h_pcnt": NUMBER,
    "prev_price_24h": NUMBER,
    "prev_price_1h": NUMBER,
    "high_price_24h": NUMBER,
    "low_price_24h": NUMBER,
    "volume_24h": NUMBER,
    "turnover_24h": NUMBER,
    "trade_count_24h": pa.int64(),
    "bid1_price": NUMBER,
    "bid1_size": NUMBER,
    "ask1_price": NUMBER,
    "ask1_size": NUMBER,
    "mark_price": NUMBER,
    "index_price": NUMBER,
    "usd_index_price": NUMBER,
    "open_interest": NUMBER,
    "open_interest_value": NUMBER,
    "funding_rate": NUMBER,
    "next_funding_time": MS,
    "funding_interval_hour": NUMBER,
    "funding_cap": NUMBER,
    "update_id": pa.int64(),
}
TICKERS = pa.schema({**STATE, **_TICKER})
TICKER_UPDATES = pa.schema({**UPDATE, **_TICKER})
FUNDING = pa.schema(
    {
        **UPDATE,
        "funding_rate": NUMBER,
        "next_funding_time": MS,
        "interval_hours": NUMBER,
        "mark_price": NUMBER,
        "index_price": NUMBER,
    }
)
OPEN_INTEREST = pa.schema({**UPDATE, "open_interest": NUMBER, "value": NUMBER})
LIQUIDATIONS = pa.schema(
    {
        **UPDATE,
        "side": pa.int8(),
        "price": NUMBER,
        "qty": NUMBER,
        "is_history": pa.bool_(),
    }
)

E = TypeVar("E")
R = TypeVar("R")
Fixed = dict[str, Any]
"""The columns of a row that are not fields of what was told."""


def each(
    records: Sequence[Record],
    decode: Callable[[bytes], E],
    rows_of: Callable[[E], Sequence[R]],
    fixed: Callable[[Record, E, R, int], Fixed],
    schema: pa.Schema,
    keep: Callable[[list[tuple[Record, E, R, int]]], list[tuple[Record, E, R, int]]] = list,
) -> Rows:
    """Return the rows of the records' envelopes that ``keep`` keeps, in the order of ``schema``.

    Columns are fields of a row, or what ``fixed`` says of it.
    """
    found: list[tuple[Record, E, R, int]] = []
    refused: list[Refused] = []
    for record in records:
        try:
            envelope = decode(record.value)
        except msgspec.MsgspecError as e:
            refused.append(Refused(record, str(e)))
            continue
        rows = enumerate(rows_of(envelope))
        found.extend((record, envelope, row, place) for place, row in rows)

    def add(columns: Columns, part: tuple[Record, E, R, int]) -> None:
        row, beside = part[2], fixed(*part)
        for name, column in columns.items():
            column.append(beside[name] if name in beside else getattr(row, name))

    return fitting([(part[0], part) for part in keep(found)], schema, add, refused)


def last_of_seconds(
    parts: list[tuple[Record, Any, Any, int]],
) -> list[tuple[Record, Any, Any, int]]:
    """Return the highest ``rev`` of each symbol and second: the table would keep no other."""
    newest: dict[tuple[str, str, str, int], tuple[Record, Any, Any, int]] = {}
    for part in parts:
        _, envelope, row, _ = part
        second = (row.ts or envelope.recv_ms) // 1_000
        at = (envelope.exchange, envelope.channel, row.symbol, second)
        if at not in newest or newest[at][2].rev <= row.rev:
            newest[at] = part
    return list(newest.values())


def market_of(envelope: Any) -> Fixed:
    """Return the columns that an envelope tells of all its rows."""
    return {"exchange": envelope.exchange, "channel": envelope.channel}


def time_ms(ms: int, or_else_ms: int = 0) -> int:
    """Return a time, or the other where it is not told; raise Unfit where no column holds it."""
    found = ms or or_else_ms
    if not 0 <= found <= TIME_MS_MAX:
        raise Unfit(f"the time {found} is not within 1970 to 2299")
    return found


def told(record: Record, envelope: Any, row: Any, place: int) -> Fixed:
    """Return the columns of ``UPDATE``."""
    if not 0 <= envelope.recv_ns <= INT64_MAX:
        raise Unfit(f"{row.symbol}: recv_ns {envelope.recv_ns} is out of range")
    return {
        **market_of(envelope),
        "ts": time_ms(row.ts, envelope.recv_ns // 1_000_000),
        "rev": record.offset,
        "place": place,
        "recv_time": envelope.recv_ns,
    }


def merged(envelope: Any, row: Any) -> Fixed:
    """Return the columns of ``STATE``."""
    ts = time_ms(row.ts, envelope.recv_ms)
    seconds = {"time": ts // 1_000, "ts": ts, "recv_time": time_ms(envelope.recv_ms)}
    return {**market_of(envelope), **seconds}


def ticker_rows(records: Sequence[Record]) -> Rows:
    """Return the whole tickers of ``md.ticker-snapshots.v1``."""

    def fixed(
        _record: Record, envelope: TickerSnapshotEnvelope, row: TickerSnapshot, _place: int
    ) -> Fixed:
        return {**merged(envelope, row), **_ticker(row)}

    return each(
        records, decode_ticker_snapshots, lambda e: e.data, fixed, TICKERS, keep=last_of_seconds
    )


def ticker_update_rows(records: Sequence[Record]) -> Rows:
    """Return the tickers of ``md.tickers.v1`` as they came."""
    return each(
        records,
        _decode_tickers,
        lambda e: e.data,
        lambda *part: {**told(*part), **_ticker(part[2])},
        TICKER_UPDATES,
    )


def funding_rows(records: Sequence[Record]) -> Rows:
    """Return the rows of ``md.funding.v1``."""
    return each(
        records,
        _decode_funding,
        lambda e: e.data,
        lambda *part: {**told(*part), "next_funding_time": _maybe(part[2].next_funding_ms)},
        FUNDING,
    )


def open_interest_rows(records: Sequence[Record]) -> Rows:
    """Return the rows of ``md.open-interest.v1``."""
    return each(records, _decode_open_interest, lambda e: e.data, told, OPEN_INTEREST)


def liquidation_rows(records: Sequence[Record]) -> Rows:
    """Return the rows of ``md.liquidations.v1``."""
    return each(records, _decode_liquidations, lambda e: e.data, told, LIQUIDATIONS)


def _ticker(row: Any) -> Fixed:
    return {
        "tick_direction": row.tick_direction or "",
        "next_funding_time": _maybe(row.next_funding_time),
    }


def _maybe(ms: int | None) -> int | None:
    return None if ms is None else time_ms(ms)


_decode_tickers = msgspec.json.Decoder(TickerUpdates).decode
_decode_funding = msgspec.json.Decoder(FundingUpdates).decode
_decode_open_interest = msgspec.json.Decoder(OpenInterestUpdates).decode
_decode_liquidations = msgspec.json.Decoder(LiquidationUpdates).decode
