"""What a symbol has to say, as records: closed candles, open ones, prices, gaps, requests."""

from collections.abc import Iterator
from typing import TypeVar

from processors.engine import cut_rows, rows
from processors.engine.symbol import SymbolCandles
from processors.fold import Output
from schemas.topics import BARS, GAPS, KLINES, KLINES_LIVE, PRICES, RECOMPUTE

OUTPUTS = (KLINES, KLINES_LIVE, PRICES, GAPS, RECOMPUTE, BARS)
ROWS_MAX = 1_000  # of a record, ~400 bytes each: below Kafka's default limit of 1 MB a record

Row = TypeVar("Row")


def due(candles: SymbolCandles) -> Iterator[Output]:
    """Yield the closed candles, gaps and requests that wait, and forget them."""
    candles.tell_claims()
    for bars in _parts(candles.touched):
        found = [rows.kline_row(candles, interval, bar) for interval, bar in bars]
        yield Output(KLINES, candles.key, rows.kline_envelope(candles, found))
        for _, bar in bars:
            bar.is_touched = False
            bar.claim = None
    candles.touched = []
    for changes in _parts(candles.gaps):
        yield Output(GAPS, candles.key, rows.gap_envelope(candles, changes))
    candles.gaps = []
    if candles.late:
        yield Output(RECOMPUTE, candles.key, rows.recompute_envelope(candles, candles.late))
        candles.late = None
    if candles.cuts is not None:
        for cut in _parts(candles.cuts.touched):
            sized = [cut_rows.bar_row(candles, size, bar) for size, bar in cut]
            yield Output(BARS, candles.key, cut_rows.bar_envelope(candles, sized))
        candles.cuts.sent()


def live(candles: SymbolCandles) -> Iterator[Output]:
    """Yield the newest open candle of every interval, and the price."""
    candles.merge()
    newest = [
        (interval, bars[-1])
        for interval, bars in zip(candles.intervals, candles.bars, strict=True)
        if bars
    ]
    is_open = [rows.kline_row(candles, i, bar) for i, bar in newest if not bar.closed]
    if is_open:
        yield Output(KLINES_LIVE, candles.key, rows.kline_envelope(candles, is_open))
    if newest:
        yield Output(PRICES, candles.key, rows.price_envelope(candles, newest[0][1]))


def unclosed(candles: SymbolCandles) -> Iterator[Output]:
    """Yield every open candle: at the end of a recording no update of it follows."""
    candles.merge()
    still_open = [
        rows.kline_row(candles, interval, bar)
        for interval, bars in zip(candles.intervals, candles.bars, strict=True)
        for bar in bars
        if not bar.closed
    ]
    if still_open:
        yield Output(KLINES_LIVE, candles.key, rows.kline_envelope(candles, still_open))


def _parts(found: list[Row]) -> Iterator[list[Row]]:
    if len(found) <= ROWS_MAX:
        if found:
            yield found
        return
    for at in range(0, len(found), ROWS_MAX):
        yield found[at : at + ROWS_MAX]
