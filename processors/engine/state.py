"""The changelog records of a symbol: SymbolCandles to bytes and back, whole or not at all.

One record is the state. Recent ids that nothing orders have records of their own,
``#<slot>#<key>``, which the state refers to: they are written before it.

Bars are kept by interval length, so a restart with other intervals keeps those that stay. Sums may
outgrow 64 bits over 30 days of a cheap coin, and prices at a grown scale, which JSON decoders
refuse: those travel as text.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, get_args

import orjson

from processors.changelog import slot_key
from processors.engine.bars import Bar, Claim
from processors.engine.cuts import CutBar, Cuts
from processors.engine.ids import Missing
from processors.engine.recent import RecentIds
from processors.engine.symbol import SymbolCandles
from processors.fold import UnknownState
from schemas.bars import BarSize
from schemas.intervals import SECOND_MS, Interval
from schemas.rules import CandleRule, candle_rule
from schemas.trades import IdRule

VERSION = 2
_PLAIN = (
    *("open_ms", "end_ms", "count", "first_ms", "first_id", "last_ms", "last_id"),
    *("rev", "opened_at", "source", "closed", "sealed", "was_late"),
)
_SCALED = ("open", "high", "low", "close", "volume", "quote", "buy_volume", "buy_quote", "before")
_plain, _scaled = attrgetter(*_PLAIN), attrgetter(*_SCALED)
_SCALARS = ("offset", "watermark_ms", "recv_ms", "price_scale", "qty_scale")
_IDS = ("first_id", "last_id", "first_ms", "last_ms", "lost", "lost_from_ms", "lost_to_ms")
_LINE = ("day_ms", "seq", "from_id", "high_id", "began", "lost", "ahead")
_CUT = ("seq", "from_id", "to_id", "began", "lost")
_line, _cut = attrgetter(*_LINE), attrgetter(*_CUT)
_INT64_MAX = 2**63 - 1


def records(candles: SymbolCandles) -> Iterator[tuple[bytes, bytes]]:
    """Yield what has changed since the last call, as keys and values, in the order of writing."""
    if candles.by_arrival:
        for slot, value in candles.recent.take_records():
            yield slot_key(slot, candles.key), value
    yield candles.key, dump(candles)


def dump(candles: SymbolCandles) -> bytes:
    """Return the state. What is to be published is not in it: publish first."""
    cuts = candles.cuts
    if candles.touched or candles.gaps or candles.late or (cuts and cuts.touched):
        raise AssertionError("outputs come before states: a crash in between would lose them")
    ids, second = candles.ids, candles.second
    # In an interval of one second the gathered second is the newest bar already.
    is_bar = any(second is bar for bars in candles.bars for bar in bars[-1:])
    unique = {"recent": candles.recent.dump()} if candles.by_arrival else {}
    return orjson.dumps(
        {
            "v": VERSION,
            "rule": candles.id_rule,
            **unique,
            **({} if cuts is None else {"cuts": _dump_cuts(cuts)}),
            "scalars": [getattr(candles, name) for name in _SCALARS],
            "ids": [getattr(ids, name) for name in _IDS],
            "missing": [list(gap) for gap in ids.missing],
            "second": is_bar if second is None or is_bar else _dump_bar(second),
            "minute": None if candles.minute is None else _dump_bar(candles.minute),
            "bars": {
                interval.text: [_dump_bar(bar) for bar in bars]
                for interval, bars in zip(candles.intervals, candles.bars, strict=True)
            },
            "flat": candles.flat_until if any(candles.flat_until) else [],
            "began": {interval.text: at_ms for interval, at_ms in candles.began_ms.items()},
        }
    )


def load(
    key: bytes,
    value: bytes,
    intervals: Sequence[Interval],
    stored: Mapping[bytes, bytes] | None = None,
    rule_of: Callable[[str], CandleRule] = candle_rule,
    bars: Sequence[BarSize] = (),
) -> SymbolCandles:
    """Return the candles that ``dump`` wrote under ``key``; raise UnknownState.

    ``stored`` has the records of recent ids, perhaps among others. An interval that the state does
    not know begins in the middle of a window.
    """
    exchange, channel, symbol = key.decode().split(":", 2)
    try:
        record = orjson.loads(value)
        if record["v"] != VERSION:
            raise UnknownState(f"state of {symbol}: version {record['v']}, expected {VERSION}")
        ids = record["rule"]
        if ids not in get_args(IdRule):
            raise UnknownState(f"state of {symbol}: ids of the kind {ids!r}")
        candles = SymbolCandles(exchange, channel, symbol, intervals, ids, rule_of(exchange), bars)
        if candles.by_arrival:
            slots = {slot: slot_key(slot, key) for slot in record["recent"]["slots"]}
            recent = {slot: (stored or {})[at] for slot, at in slots.items()}
            candles.recent = RecentIds.load(record["recent"], recent)
        for name, number in zip(_SCALARS, record["scalars"], strict=True):
            setattr(candles, name, number)
        for name, number in zip(_IDS, record["ids"], strict=True):
            setattr(candles.ids, name, number)
        candles.ids.missing = [Missing(*gap) for gap in record["missing"]]
        _load_windows(candles, record)
        if candles.cuts is not None:
            _load_cuts(candles.cuts, record.get("cuts", {}), candles)
    except (KeyError, TypeError, ValueError) as e:
        raise UnknownState(f"state of {symbol}: {e!r}") from e
    return candles


def _load_windows(candles: SymbolCandles, record: Mapping[str, Any]) -> None:
    known, began = record["bars"], record["began"]
    bars: list[list[Bar]] = []
    for interval in candles.intervals:
        rows = known.get(interval.text)
        began_ms = candles.watermark_ms if rows is None else began.get(interval.text)
        if began_ms is not None:
            candles.began_ms[interval] = began_ms
        bars.append([_load_bar(row, candles) for row in rows or ()])
    candles.take_intervals(candles.intervals, bars)
    flat_until = dict(zip(known, record["flat"], strict=False))
    candles.flat_until = [flat_until.get(interval.text, 0) for interval in candles.intervals]
    candles.newest_ms = candles.watermark_ms - candles.watermark_ms % SECOND_MS
    if record["minute"] is not None:
        candles.minute = _load_bar(record["minute"], candles)
    second = record["second"]
    if second is True:
        rows = next(bars[i] for i in candles.short if candles.intervals[i].length_ms == SECOND_MS)
        candles.second = rows[-1]
    elif second:
        candles.second = _load_bar(second, candles)


def _dump_cuts(cuts: Cuts) -> dict[str, list[object]]:
    return {
        line.size.text: [_line(line), *(_dump_cut(bar) for bar in line.bars())]
        for line in cuts.lines
    }


def _dump_cut(bar: CutBar) -> list[object]:
    return [_cut(bar), bar.claim and list(bar.claim), _dump_bar(bar)]


def _load_cuts(cuts: Cuts, known: Mapping[str, Any], candles: SymbolCandles) -> None:
    for line in cuts.lines:
        record = known.get(line.size.text)
        if record is None:
            line.begin(candles.ids.last_id + 1, by_arrival=cuts.by_arrival)
            continue
        values, *bars = record
        for name, value in zip(_LINE, values, strict=False):  # older ones do not tell all
            setattr(line, name, value)
        for row in bars:
            bar = _load_cut(row, candles)
            if bar.closed:
                line.closed.append(bar)
            else:
                line.open = bar


def _load_cut(row: list[Any], candles: SymbolCandles) -> CutBar:
    values, claim, numbers = row
    bar = CutBar(0, "live", 0, by_arrival=candles.by_arrival)
    _fill_bar(bar, numbers)
    for name, value in zip(_CUT, values, strict=True):
        setattr(bar, name, value)
    bar.claim = None if claim is None else Claim(*claim)
    return bar


def _dump_bar(bar: Bar) -> object:
    """Return what is kept of a bar; of one that has ended as text, made once a revision."""
    if bar.stored is not None and bar.stored[0] == bar.rev:
        return bar.stored[1]
    numbers: tuple[int | None, ...] = _scaled(bar)
    if any(n is not None and not -_INT64_MAX <= n <= _INT64_MAX for n in numbers):
        numbers = tuple(n if n is None else str(n) for n in numbers)  # type: ignore[misc]
    row = (*_plain(bar), *numbers)
    if not (bar.closed and bar.sealed):
        return row
    bar.stored = bar.rev, orjson.Fragment(orjson.dumps(row))
    return bar.stored[1]


def _load_bar(record: list[object], candles: SymbolCandles) -> Bar:
    bar = Bar(0, 0, "live", 0, by_arrival=candles.by_arrival)
    _fill_bar(bar, record)
    return bar


def _fill_bar(bar: Bar, record: list[object]) -> None:
    for name, value in zip(_PLAIN, record, strict=False):
        setattr(bar, name, value)
    for name, value in zip(_SCALED, record[len(_PLAIN) :], strict=True):
        setattr(bar, name, None if value is None else int(str(value)))
