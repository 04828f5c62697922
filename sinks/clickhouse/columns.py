"""Records to Arrow tables, column by column; what does not fit its column exactly is refused.

Arrow checks what a store would cut off in silence: digits beyond a Decimal's scale, integers
beyond 64 bits. A group of trades that does not fit is refused alone, with its record.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

from schemas.klines import Kline, KlineEnvelope, decode_klines
from schemas.trades import SymbolTrades, TradeBatch, UnreadableBatch, decode_batch
from sinks.base import Record, Refused

SCALE_MAX = 12  # the decimals of the price and qty columns
TIME_MS_MAX = 10_413_792_000_000 - 1  # the year 2299, where DateTime64 ends
INT64_MAX = 2**63 - 1
REV_MAX = 2**62 - 1  # 2 * rev + 1 stays in 64 bits

_NAME = pa.dictionary(pa.int32(), pa.string())
_MS = pa.timestamp("ms", "UTC")
_PRICE = pa.decimal128(38, 12)
_QUOTE = pa.decimal128(38, 18)

TRADES = pa.schema(
    {
        "exchange": _NAME,
        "channel": _NAME,
        "symbol": _NAME,
        "id": pa.int64(),
        "uid": pa.string(),
        "ts": _MS,
        "price_int": pa.int64(),
        "qty_int": pa.int64(),
        "price_scale": pa.uint8(),
        "qty_scale": pa.uint8(),
        "side": pa.int8(),
        "flags": pa.uint32(),
        "first_id": pa.int64(),
        "last_id": pa.int64(),
        "recv_time": pa.timestamp("ns", "UTC"),
        "source": _NAME,
        "contract_size": _NAME,
        "rev": pa.int64(),
        "place": pa.uint32(),
    }
)
KLINES = pa.schema(
    {
        "exchange": _NAME,
        "channel": _NAME,
        "symbol": _NAME,
        "interval_ms": pa.int64(),
        "anchor": _NAME,
        "open_time": _MS,
        "close_time": _MS,
        "open": _PRICE,
        "high": _PRICE,
        "low": _PRICE,
        "close": _PRICE,
        "volume": _PRICE,
        "quote_volume": _QUOTE,
        "taker_buy_volume": _PRICE,
        "taker_buy_quote_volume": _QUOTE,
        "trade_count": pa.int64(),
        "first_id": pa.int64(),
        "last_id": pa.int64(),
        "closed": pa.bool_(),
        "rev": pa.int64(),
        "cause": _NAME,
        "quality": _NAME,
        "missing": pa.int64(),
        "recv_time": _MS,
        "version": pa.uint64(),
    }
)

P = TypeVar("P")
Columns = dict[str, list[Any]]
_Trades = tuple[TradeBatch, SymbolTrades, int]  # and the offset of their record


class Unfit(ValueError):  # noqa: N818 - reads as the claim it makes
    """A value that its column cannot hold exactly."""


def trade_table(records: Iterable[Record]) -> tuple[pa.Table, list[Refused]]:
    """Return the trades of ``records`` as one table, and the records (partly) left out."""
    parts: list[tuple[Record, _Trades]] = []
    refused: list[Refused] = []
    for record in records:
        try:
            batch = decode_batch(record.value)
        except UnreadableBatch as e:
            refused.append(Refused(record, str(e)))
            continue
        parts.extend((record, (batch, group, record.offset)) for group in batch.symbols)
    return _fitting(parts, TRADES, _add_trades, refused)


def kline_table(records: Iterable[Record]) -> tuple[pa.Table, list[Refused]]:
    """Return the candles of ``records`` as one table, and the records (partly) left out."""
    parts: list[tuple[Record, tuple[KlineEnvelope, Kline]]] = []
    refused: list[Refused] = []
    for record in records:
        try:
            envelope = decode_klines(record.value)
        except msgspec.MsgspecError as e:
            refused.append(Refused(record, str(e)))
            continue
        parts.extend((record, (envelope, kline)) for kline in envelope.data)
    return _fitting(parts, KLINES, _add_kline, refused)


def _fitting(
    parts: Sequence[tuple[Record, P]],
    schema: pa.Schema,
    add: Callable[[Columns, P], None],
    refused: list[Refused],
) -> tuple[pa.Table, list[Refused]]:
    try:
        return _table([part for _, part in parts], schema, add), refused
    except Unfit:
        pass  # somewhere in there: ask each part alone
    fitting = []
    reasons: dict[Record, list[str]] = {}
    for record, part in parts:
        try:
            _table([part], schema, add)
        except Unfit as e:
            reasons.setdefault(record, []).append(str(e))
        else:
            fitting.append(part)
    refused += [Refused(record, "; ".join(why)) for record, why in reasons.items()]
    return _table(fitting, schema, add), refused


def _table(parts: Sequence[P], schema: pa.Schema, add: Callable[[Columns, P], None]) -> pa.Table:
    columns: Columns = {name: [] for name in schema.names}
    for part in parts:
        add(columns, part)
    arrays = []
    for field in schema:
        try:
            arrays.append(_array(columns[field.name], field.type))
        except (pa.ArrowException, OverflowError, ValueError) as e:
            raise Unfit(f"{field.name}: {e}") from e
    return pa.table(arrays, schema=schema)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, kind)


def _add_trades(columns: Columns, part: _Trades) -> None:
    batch, g, offset = part
    if not (0 <= g.price_scale <= SCALE_MAX and 0 <= g.qty_scale <= SCALE_MAX):
        raise Unfit(f"{g.symbol}: a scale is not within 0 to {SCALE_MAX} decimals")
    if not (min(g.ts) >= 0 and max(g.ts) <= TIME_MS_MAX and 0 <= batch.recv_ns <= INT64_MAX):
        raise Unfit(f"{g.symbol}: a time is not within 1970 to 2299")
    n = len(g)
    columns["exchange"] += [batch.exchange] * n
    columns["channel"] += [batch.channel] * n
    columns["symbol"] += [g.symbol] * n
    columns["id"] += g.id
    columns["uid"] += g.uid or [""] * n
    columns["ts"] += g.ts
    columns["price_int"] += g.price
    columns["qty_int"] += g.qty
    columns["price_scale"] += [g.price_scale] * n
    columns["qty_scale"] += [g.qty_scale] * n
    columns["side"] += g.sides()
    columns["flags"] += g.flag_list()
    columns["first_id"] += g.first or g.id
    columns["last_id"] += g.last or g.id
    columns["recv_time"] += [batch.recv_ns] * n
    columns["source"] += [batch.source] * n
    columns["contract_size"] += [g.contract_size or ""] * n
    columns["rev"] += [offset] * n
    columns["place"] += range(n)


def _add_kline(columns: Columns, part: tuple[KlineEnvelope, Kline]) -> None:
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
