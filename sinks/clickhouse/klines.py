"""Closed candles as rows of ``klines``."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pyarrow as pa

from schemas.klines import Kline, KlineEnvelope, decode_klines
from sinks.base import Record, Refused
from sinks.clickhouse.columns import (
    MS,
    NAME,
    PRICE,
    QUOTE,
    REV_MAX,
    TIME_MS_MAX,
    Columns,
    Unfit,
    fitting,
)
from sinks.clickhouse.table import Rows

SCHEMA = pa.schema(
    {
        "exchange": NAME,
        "channel": NAME,
        "symbol": NAME,
        "interval_ms": pa.int64(),
        "anchor": NAME,
        "open_time": MS,
        "close_time": MS,
        "open": PRICE,
        "high": PRICE,
        "low": PRICE,
        "close": PRICE,
        "volume": PRICE,
        "quote_volume": QUOTE,
        "taker_buy_volume": PRICE,
        "taker_buy_quote_volume": QUOTE,
        "trade_count": pa.int64(),
        "first_id": pa.int64(),
        "last_id": pa.int64(),
        "closed": pa.bool_(),
        "rev": pa.int64(),
        "cause": NAME,
        "quality": NAME,
        "missing": pa.int64(),
        "recv_time": MS,
        "version": pa.uint64(),
    }
)


def kline_table(records: Sequence[Record]) -> Rows:
    """Return the candles of ``records``, and the records (partly) left out."""
    parts: list[tuple[Record, tuple[KlineEnvelope, Kline]]] = []
    refused: list[Refused] = []
    for record in records:
        try:
            envelope = decode_klines(record.value)
        except msgspec.MsgspecError as e:
            refused.append(Refused(record, str(e)))
            continue
        parts.extend((record, (envelope, kline)) for kline in envelope.data)
    return fitting(parts, SCHEMA, _add, refused)


def _add(columns: Columns, part: tuple[KlineEnvelope, Kline]) -> None:
    envelope, k = part
    if not (0 <= k.timestamp <= TIME_MS_MAX and 0 <= envelope.recv_ms <= TIME_MS_MAX):
        raise Unfit(f"{k.symbol}: a time is not within 1970 to 2299")
    if not 0 <= k.rev <= REV_MAX or k.interval <= 0:
        raise Unfit(f"{k.symbol}: rev {k.rev} or interval {k.interval} is out of range")
    close_ms = _close_ms(k)
    row: dict[str, str | int | Decimal | bool] = {
        "exchange": envelope.exchange,
        "channel": envelope.channel,
        "interval_ms": k.interval,
        "open_time": k.timestamp,
        "close_time": close_ms,
        "recv_time": envelope.recv_ms,
        "version": k.version,
    }
    for name, column in columns.items():
        column.append(row[name] if name in row else getattr(k, name))


def _close_ms(k: Kline) -> int:
    try:
        close_ms = k.frame.end_ms(k.timestamp)
    except (ValueError, ArithmeticError, OSError) as e:
        raise Unfit(f"{k.symbol}: no window opens there {k.frame}: {e}") from e
    if not k.timestamp < close_ms <= TIME_MS_MAX:
        raise Unfit(f"{k.symbol}: a candle of {k.frame} ends out of range")
    return close_ms
