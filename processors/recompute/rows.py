"""Rows of candles: the JSON text of ``schemas.klines.KlineEnvelope``, decimals exact."""

from collections.abc import Iterable, Sequence

import msgspec

from processors.recompute.candles import Candle
from processors.recompute.plan import Asked
from schemas.clickhouse.candles import SCALE
from schemas.numbers import text

ROWS_MAX = 1_000  # of a record, ~400 bytes each


def envelopes(asked: Asked, candles: Sequence[Candle]) -> Iterable[bytes]:
    """Yield the values of the records that hold these candles."""
    for at in range(0, len(candles), ROWS_MAX):
        part = candles[at : at + ROWS_MAX]
        rows = ",".join(_row(asked, candle) for candle in part)
        recv_ms = max(candle.sums.recv_ms for candle in part)
        yield (
            f'{{"exchange":"{asked.exchange}","channel":"{asked.channel}","data_type":"klines"'
            f',"recv_ms":{recv_ms},"data":[{rows}]}}'
        ).encode()


def _row(asked: Asked, candle: Candle) -> str:
    s, (quality, missing), (length_ms, anchor) = candle.sums, candle.claim, candle.interval
    price, qty, quote = s.price_scale, s.qty_scale, s.price_scale + s.qty_scale
    name = msgspec.json.encode(asked.symbol).decode()
    return (
        f'{{"symbol":{name},"interval":{length_ms},"timestamp":{candle.open_ms}'
        f',"open":{_at(s.open, price)},"high":{_at(s.high, price)}'
        f',"low":{_at(s.low, price)},"close":{_at(s.close, price)}'
        f',"volume":{_at(s.volume, qty)},"quote_volume":{_at(s.quote, quote, 2 * SCALE)}'
        f',"taker_buy_volume":{_at(s.buy_volume, qty)}'
        f',"taker_buy_quote_volume":{_at(s.buy_quote, quote, 2 * SCALE)}'
        f',"trade_count":{s.trades},"first_id":{s.first_id},"last_id":{s.last_id}'
        f',"closed":true,"rev":{asked.rev},"cause":"{candle.cause}"'
        f',"quality":"{quality}","missing":{missing},"anchor":"{anchor}"}}'
    )


def _at(value: int, scale: int, from_scale: int = SCALE) -> str:
    """Return the text of a number at fewer decimals: none of those left out is anything but 0."""
    return text(value // 10 ** (from_scale - scale), scale)
