"""The trades that every peer gets, in both forms, and the candles that they must make of them.

``envelope`` is a record of md.trades.v1 in its oldest form: columns in lists, read by any decoder.
``plain`` is what suits other engines best: rows of one symbol in decimal numbers, 100 a record,
keyed by symbol, stamped with the time of the first.
"""

from collections.abc import Mapping
from pathlib import Path

import orjson

from schemas.trades import SymbolTrades, TradeBatch

MINUTE_MS = 60_000
PRICE_SCALE = 2
QTY_SCALE = 3
DIFFERENCES_MAX = 5

Key = tuple[str, int]
Candles = dict[Key, tuple[int, int, int, int, int, int]]
"""By symbol and open time: open, high, low, close, volume (all scaled), trades."""


def plain(group: SymbolTrades) -> bytes:
    """Return the plain record of a group."""
    rows = ",".join(
        f'{{"symbol":"{group.symbol}","trade_id":{id_},"price":{price / 10**PRICE_SCALE},'
        f'"quantity":{qty / 10**QTY_SCALE},"side":"{"buy" if side > 0 else "sell"}",'
        f'"timestamp":{at_ms}}}'
        for id_, price, qty, side, at_ms in zip(
            group.id, group.price, group.qty, group.sides(), group.ts, strict=True
        )
    )
    return (
        f'{{"exchange":"binance","channel":"linear","data_type":"trades","data":[{rows}]}}'.encode()
    )


def unpacked(batch: TradeBatch) -> bytes:
    """Return the record of a batch in lists, however large it is."""
    symbols = [
        {
            "symbol": group.symbol,
            "price_scale": group.price_scale,
            "qty_scale": group.qty_scale,
            "id": group.id,
            "ts": group.ts,
            "price": group.price,
            "qty": group.qty,
            "side": group.side,
            "first": group.first,
            "last": group.last,
        }
        for group in batch.symbols
    ]
    head = {"v": 1, "exchange": batch.exchange, "channel": batch.channel, "source": batch.source}
    return orjson.dumps({**head, "recv_ns": batch.recv_ns, "symbols": symbols})


def fold(candles: Candles, group: SymbolTrades) -> None:
    """Add a group, which lies within a minute, to the candles it belongs to."""
    key = (group.symbol, group.ts[0] - group.ts[0] % MINUTE_MS)
    if group.ts[-1] >= key[1] + MINUTE_MS:
        raise ValueError(f"a group of {group.symbol} crosses a minute")
    made = (
        *(group.price[0], max(group.price), min(group.price), group.price[-1]),
        *(sum(group.qty), len(group)),
    )
    old = candles.get(key)
    if old is not None:
        opened, high, low, _, volume, trades = old
        made = (
            *(opened, max(high, made[1]), min(low, made[2]), made[3]),
            *(volume + made[4], trades + made[5]),
        )
    candles[key] = made


def read(path: Path, *, is_plain: bool) -> Candles:
    """Return the candles that a peer wrote; its decimals become scaled integers again."""
    price, qty = (10**PRICE_SCALE, 10**QTY_SCALE) if is_plain else (1, 1)
    found: Candles = {}
    for line in path.read_text().splitlines():
        symbol, open_ms, *numbers, trades = line.split("\t")
        opened, high, low, close, volume = map(float, numbers)
        found[symbol, int(open_ms)] = (
            *(round(opened * price), round(high * price), round(low * price), round(close * price)),
            *(round(volume * qty), int(trades)),
        )
    return found


def differences(found: Candles, expected: Candles, *, only_closed: bool = False) -> list[str]:
    """Return what is wrong with a peer's candles, at most a few lines.

    Of a peer that only tells closed ones, the last of each symbol may be missing: nothing ends it.
    """
    last = _last_opens(expected)
    texts = []
    for key, candle in expected.items():
        symbol, open_ms = key
        is_open = only_closed and open_ms == last[symbol] and key not in found
        if not is_open and found.get(key) != candle:
            texts.append(f"{symbol} {open_ms}: {found.get(key)} instead of {candle}")
    texts += [f"{key}: nobody traded then" for key in found.keys() - expected.keys()]
    return texts[:DIFFERENCES_MAX]


def _last_opens(candles: Mapping[Key, object]) -> dict[str, int]:
    last: dict[str, int] = {}
    for symbol, open_ms in candles:
        last[symbol] = max(last.get(symbol, 0), open_ms)
    return last
