"""Rows of bars that close by size: the JSON text of ``schemas.bars.TradeBar``, decimals exact."""

from collections.abc import Iterable

from processors.engine.bars import ASSUMED
from processors.engine.cuts import CutBar
from processors.engine.rows import cause
from processors.engine.symbol import SymbolCandles
from schemas.bars import BarSize
from schemas.numbers import text


def bar_row(candles: SymbolCandles, size: BarSize, bar: CutBar) -> str:
    """Return one closed bar as a JSON object."""
    scale, qty_scale = candles.price_scale, candles.qty_scale
    quote_scale = scale + qty_scale
    quality, missing = bar.claim or ASSUMED
    return (
        f'{{"symbol":{candles.name},"bar":"{size.text}","day":{bar.open_ms},"seq":{bar.seq}'
        f',"timestamp":{bar.first_ms},"end":{bar.last_ms}'
        f',"open":{text(bar.open, scale)},"high":{text(bar.high, scale)}'
        f',"low":{text(bar.low, scale)},"close":{text(bar.close, scale)}'
        f',"volume":{text(bar.volume, qty_scale)},"quote_volume":{text(bar.quote, quote_scale)}'
        f',"taker_buy_volume":{text(bar.buy_volume, qty_scale)}'
        f',"taker_buy_quote_volume":{text(bar.buy_quote, quote_scale)}'
        f',"trade_count":{bar.count},"first_id":{bar.first_id},"last_id":{bar.last_id}'
        f',"closed":true,"rev":{bar.rev},"cause":"{cause(bar)}"'
        f',"quality":"{quality}","missing":{missing}}}'
    )


def bar_envelope(candles: SymbolCandles, rows: Iterable[str]) -> bytes:
    """Return the value of a record of bars; rows are of one symbol."""
    return (
        f'{{"exchange":"{candles.exchange}","channel":"{candles.channel}","data_type":"bars"'
        f',"recv_ms":{candles.recv_ms},"data":[{",".join(rows)}]}}'
    ).encode()
