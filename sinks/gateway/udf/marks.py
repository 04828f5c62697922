"""What is to be known of bars beyond their numbers: corrections, and trades that are missing."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from sinks.gateway.udf.bars import Bar

CORRECTED = {"late": "a late trade", "rest": "fetched trades", "archive": "archived trades"}
MARKS_MAX = 500  # the newest; a chart cannot show more


class Mark(NamedTuple):
    """One mark, under TradingView's names."""

    id: int
    time: int
    color: str
    text: str
    label: str
    labelFontColor: str = "white"  # noqa: N815
    minSize: int = 14  # noqa: N815


def marks_of(bars: Iterable[Bar]) -> dict[str, list[Any]]:
    """Return the marks in columns, as TradingView reads them."""
    found = [mark for bar in bars for mark in _marks(bar)][-MARKS_MAX:]
    return {name: [getattr(mark, name) for mark in found] for name in Mark._fields}


def _marks(bar: Bar) -> Iterator[Mark]:
    at_s = bar.timestamp // 1_000
    if bar.cause in CORRECTED and bar.closed:
        text = f"Corrected by {CORRECTED[bar.cause]}, revision {bar.rev}"
        yield Mark(2 * at_s, at_s, "blue", text, "C")
    if bar.quality == "gap" or bar.missing:
        what = f"{bar.missing} trades are missing" if bar.missing else "its beginning is missing"
        yield Mark(2 * at_s + 1, at_s, "red", f"Gap: {what}", "G")
