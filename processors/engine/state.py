"""The changelog record of a symbol: SymbolCandles to bytes and back, whole or not at all.

Bars are kept by interval length, so a restart with other intervals keeps those that stay. Sums may
outgrow 64 bits over 30 days of a cheap coin, which JSON decoders refuse: those travel as text.
"""

from collections.abc import Sequence

import orjson

from processors.engine.bars import Bar
from processors.engine.ids import Missing
from processors.engine.symbol import SymbolCandles

VERSION = 1
_PLAIN = (
    *("open_ms", "open", "high", "low", "close", "count"),
    *("first_ms", "first_id", "last_ms", "last_id"),
    *("rev", "opened_at", "source", "closed", "sealed", "was_late"),
)
_SUMS = ("volume", "quote", "buy_volume", "buy_quote")
_SCALARS = ("offset", "watermark_ms", "recv_ms", "price_scale", "qty_scale")
_INT64_MAX = 2**63 - 1


class UnknownState(ValueError):  # noqa: N818 - reads as the claim it makes
    """A changelog record that another version of this program wrote."""


def dump(candles: SymbolCandles) -> bytes:
    """Return the state. What is to be published is not in it: publish first."""
    if candles.touched or candles.gaps or candles.late:
        raise AssertionError("outputs come before states: a crash in between would lose them")
    ids, second = candles.ids, candles.second
    return orjson.dumps(
        {
            "v": VERSION,
            "scalars": [getattr(candles, name) for name in _SCALARS],
            "ids": [ids.first_id, ids.last_id, ids.first_ms, ids.last_ms],
            "missing": [list(gap) for gap in ids.missing],
            "second": None if second is None else _dump_bar(second),
            "bars": {
                str(length): [_dump_bar(bar) for bar in bars]
                for length, bars in zip(candles.lengths, candles.bars, strict=True)
            },
        }
    )


def load(key: bytes, value: bytes, lengths: Sequence[int]) -> SymbolCandles:
    """Return the candles that ``dump`` wrote under ``key``; raise UnknownState."""
    exchange, channel, symbol = key.decode().split(":", 2)
    candles = SymbolCandles(exchange, channel, symbol, lengths)
    try:
        record = orjson.loads(value)
        if record["v"] != VERSION:
            raise UnknownState(f"state of {symbol}: version {record['v']}, expected {VERSION}")
        for name, number in zip(_SCALARS, record["scalars"], strict=True):
            setattr(candles, name, number)
        ids = candles.ids
        ids.first_id, ids.last_id, ids.first_ms, ids.last_ms = record["ids"]
        ids.missing = [Missing(*gap) for gap in record["missing"]]
        for i, length in enumerate(candles.lengths):
            candles.bars[i] = [_load_bar(bar) for bar in record["bars"].get(str(length), ())]
        if record["second"] is not None:
            candles.second = _load_bar(record["second"])
    except (KeyError, TypeError, ValueError) as e:
        raise UnknownState(f"state of {symbol}: {e!r}") from e
    candles.find_next_close()
    return candles


def _dump_bar(bar: Bar) -> list[object]:
    sums: list[int] = [getattr(bar, name) for name in _SUMS]
    return [
        *(getattr(bar, name) for name in _PLAIN),
        *(number if number <= _INT64_MAX else str(number) for number in sums),
    ]


def _load_bar(record: list[object]) -> Bar:
    bar = Bar(0, "live", 0)
    for name, value in zip(_PLAIN, record, strict=False):
        setattr(bar, name, value)
    for name, value in zip(_SUMS, record[len(_PLAIN) :], strict=True):
        setattr(bar, name, int(str(value)))
    return bar
