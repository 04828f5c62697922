"""The changelog records of a symbol: SymbolCandles to bytes and back, whole or not at all.

One record is the state. Recent ids that nothing orders have records of their own,
``#<slot>#<key>``, which the state refers to: they are written before it.

Bars are kept by interval length, so a restart with other intervals keeps those that stay. Sums may
outgrow 64 bits over 30 days of a cheap coin, and prices at a grown scale, which JSON decoders
refuse: those travel as text.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

import orjson

from processors.engine.bars import Bar
from processors.engine.ids import Missing
from processors.engine.recent import RecentIds
from processors.engine.symbol import SymbolCandles
from schemas.trades import IdRule

VERSION = 1
_PLAIN = (
    *("open_ms", "count", "first_ms", "first_id", "last_ms", "last_id"),
    *("rev", "opened_at", "source", "closed", "sealed", "was_late"),
)
_SCALED = ("open", "high", "low", "close", "volume", "quote", "buy_volume", "buy_quote")
_SCALARS = ("offset", "watermark_ms", "recv_ms", "price_scale", "qty_scale")
_IDS = ("first_id", "last_id", "first_ms", "last_ms", "lost", "lost_from_ms", "lost_to_ms")
_INT64_MAX = 2**63 - 1
_SLOT = b"#"  # no key of a symbol begins with it


class UnknownState(ValueError):  # noqa: N818 - reads as the claim it makes
    """A changelog record that another version of this program wrote."""


def records(candles: SymbolCandles) -> Iterator[tuple[bytes, bytes]]:
    """Yield what has changed since the last call, as keys and values, in the order of writing."""
    if candles.by_arrival:
        for slot, value in candles.recent.take_records():
            yield slot_key(slot, candles.key), value
    yield candles.key, dump(candles)


def slot_key(slot: int, key: bytes) -> bytes:
    """Return the key of a record of recent ids."""
    return b"%s%d%s%s" % (_SLOT, slot, _SLOT, key)


def is_slot(key: bytes) -> bool:
    """Say whether a record holds recent ids, and no state."""
    return key.startswith(_SLOT)


def symbol_of(key: bytes) -> bytes:
    """Return the key of the symbol to which a record belongs."""
    return key.split(_SLOT, 2)[2] if is_slot(key) else key


def dump(candles: SymbolCandles) -> bytes:
    """Return the state. What is to be published is not in it: publish first."""
    if candles.touched or candles.gaps or candles.late:
        raise AssertionError("outputs come before states: a crash in between would lose them")
    ids, second = candles.ids, candles.second
    unique = {"recent": candles.recent.dump()} if candles.by_arrival else {}
    return orjson.dumps(
        {
            "v": VERSION,
            "rule": candles.rule,
            **unique,
            "scalars": [getattr(candles, name) for name in _SCALARS],
            "ids": [getattr(ids, name) for name in _IDS],
            "missing": [list(gap) for gap in ids.missing],
            "second": None if second is None else _dump_bar(second),
            "bars": {
                str(length): [_dump_bar(bar) for bar in bars]
                for length, bars in zip(candles.lengths, candles.bars, strict=True)
            },
            "began": {str(length): at_ms for length, at_ms in candles.began_ms.items()},
        }
    )


def load(
    key: bytes, value: bytes, lengths: Sequence[int], stored: Mapping[bytes, bytes] | None = None
) -> SymbolCandles:
    """Return the candles that ``dump`` wrote under ``key``; raise UnknownState.

    ``stored`` has the records of recent ids, perhaps among others.
    """
    exchange, channel, symbol = key.decode().split(":", 2)
    try:
        record = orjson.loads(value)
        if record["v"] != VERSION:
            raise UnknownState(f"state of {symbol}: version {record['v']}, expected {VERSION}")
        rule = record.get("rule", "dense")
        if rule not in get_args(IdRule):
            raise UnknownState(f"state of {symbol}: ids of the kind {rule!r}")
        candles = SymbolCandles(exchange, channel, symbol, lengths, rule)
        if candles.by_arrival:
            slots = {slot: slot_key(slot, key) for slot in record["recent"]["slots"]}
            recent = {slot: (stored or {})[at] for slot, at in slots.items()}
            candles.recent = RecentIds.load(record["recent"], recent)
        for name, number in zip(_SCALARS, record["scalars"], strict=True):
            setattr(candles, name, number)
        ids = candles.ids
        for name, number in zip(_IDS, record["ids"], strict=True):
            setattr(ids, name, number)
        ids.missing = [Missing(*gap) for gap in record["missing"]]
        for i, length in enumerate(candles.lengths):
            bars = record["bars"].get(str(length))
            # A new interval begins in the middle of a window, like the stream itself once did.
            began_ms = candles.watermark_ms if bars is None else record["began"].get(str(length))
            if began_ms is not None:
                candles.began_ms[length] = began_ms
            candles.bars[i] = [_load_bar(bar, candles) for bar in bars or ()]
        if record["second"] is not None:
            candles.second = _load_bar(record["second"], candles)
    except (KeyError, TypeError, ValueError) as e:
        raise UnknownState(f"state of {symbol}: {e!r}") from e
    candles.find_next_close()
    return candles


def _dump_bar(bar: Bar) -> list[object]:
    numbers: list[int] = [getattr(bar, name) for name in _SCALED]
    return [
        *(getattr(bar, name) for name in _PLAIN),
        *(n if -_INT64_MAX <= n <= _INT64_MAX else str(n) for n in numbers),
    ]


def _load_bar(record: list[object], candles: SymbolCandles) -> Bar:
    bar = Bar(0, "live", 0, by_arrival=candles.by_arrival)
    for name, value in zip(_PLAIN, record, strict=False):
        setattr(bar, name, value)
    for name, value in zip(_SCALED, record[len(_PLAIN) :], strict=True):
        setattr(bar, name, int(str(value)))
    return bar
