"""Rows of a candle: the JSON text of ``schemas.klines.Kline``, decimals exact.

Written by hand because it is the hottest output; a test holds it against the schema's decoder.
"""

from collections.abc import Iterable

from processors.engine.bars import Bar
from processors.engine.symbol import GapChange, SymbolCandles
from schemas.intervals import Interval
from schemas.klines import Cause
from schemas.numbers import text


def cause(bar: Bar) -> Cause:
    """Return why this revision exists."""
    if bar.source != "live":
        return bar.source
    return "late" if bar.was_late else "live"


def kline_row(candles: SymbolCandles, interval: Interval, bar: Bar) -> str:
    """Return one candle as a JSON object."""
    scale = candles.price_scale
    qty_scale = candles.qty_scale
    quote_scale = scale + qty_scale
    quality, missing = bar.claim or candles.claim(bar, interval)
    length_ms, anchor = interval
    opened, high, low = bar.open, bar.high, bar.low
    if bar.before is not None:
        opened = bar.before
        high, low = max(high, opened), min(low, opened)
    return (
        f'{{"symbol":{candles.name},"interval":{length_ms},"timestamp":{bar.open_ms}'
        f',"open":{text(opened, scale)},"high":{text(high, scale)}'
        f',"low":{text(low, scale)},"close":{text(bar.close, scale)}'
        f',"volume":{text(bar.volume, qty_scale)},"quote_volume":{text(bar.quote, quote_scale)}'
        f',"taker_buy_volume":{text(bar.buy_volume, qty_scale)}'
        f',"taker_buy_quote_volume":{text(bar.buy_quote, quote_scale)}'
        f',"trade_count":{bar.count},"first_id":{bar.first_id},"last_id":{bar.last_id}'
        f',"closed":{"true" if bar.closed else "false"},"rev":{bar.rev},"cause":"{cause(bar)}"'
        f',"quality":"{quality}","missing":{missing}'
        f"{_anchor(anchor) if anchor else ''}}}"
    )


def _anchor(anchor: str) -> str:
    return f',"anchor":"{anchor}"'  # letters, digits and @=/_+- only: see schemas.intervals


def kline_envelope(candles: SymbolCandles, rows: Iterable[str]) -> bytes:
    """Return the value of a candle record; rows are of one symbol."""
    return (
        f'{{"exchange":"{candles.exchange}","channel":"{candles.channel}","data_type":"klines"'
        f',"recv_ms":{candles.recv_ms},"data":[{",".join(rows)}]}}'
    ).encode()


def price_envelope(candles: SymbolCandles, bar: Bar) -> bytes:
    """Return the last price of a symbol as the value of a price record."""
    return (
        f'{{"exchange":"{candles.exchange}","channel":"{candles.channel}","data_type":"price"'
        f',"recv_ms":{candles.recv_ms},"data":[{{"symbol":{candles.name}'
        f',"price":{text(bar.close, candles.price_scale)},"ts":{bar.last_ms}'
        f',"rev":{bar.rev}}}]}}'
    ).encode()


def gap_envelope(candles: SymbolCandles, changes: Iterable[GapChange]) -> bytes:
    """Return what became of missing ranges as the value of a gap record."""
    rows = ",".join(
        f'{{"symbol":{candles.name},"first_id":{gap.first},"last_id":{gap.last}'
        f',"from_ms":{gap.from_ms},"to_ms":{gap.to_ms},"missing":{left},"state":"{state}"'
        f',"rev":{offset}}}'
        for state, gap, left, offset in changes
    )
    return (
        f'{{"exchange":"{candles.exchange}","channel":"{candles.channel}","data_type":"gaps"'
        f',"data":[{rows}]}}'
    ).encode()


def recompute_envelope(candles: SymbolCandles, span: tuple[int, int, int]) -> bytes:
    """Return the request to compute again every candle that overlaps ``span``."""
    return (
        f'{{"exchange":"{candles.exchange}","channel":"{candles.channel}"'
        f',"data_type":"recompute","data":[{{"symbol":{candles.name},"from_ms":{span[0]}'
        f',"to_ms":{span[1]},"rev":{span[2]},"ids":"{candles.id_rule}"}}]}}'
    ).encode()
