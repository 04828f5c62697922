"""Bars beyond time: closed after so many trades, so much volume, so much money; ``md.bars.v1``.

``(exchange, channel, symbol, bar, day, seq)`` is a bar's identity; of two rows with one identity
the higher ``rev`` is true.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal, NamedTuple, get_args

import msgspec

from schemas.klines import Cause, Quality
from schemas.numbers import fixed, scale_of, text
from schemas.trades import Channel

BarKind = Literal["tick", "volume", "dollar"]
BAR_SIZES_MAX = 16  # ~5 kB each in the changelog record of every symbol; a record holds 1 MB


class BadBarSize(ValueError):  # noqa: N818 - reads as the claim it makes
    """``text`` says of no bar when it closes."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text, reason)
        self.text = text
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.text!r} is not a bar: {self.reason}. Valid: tick:1000 (trades), volume:50 "
            "(base coin), dollar:1000000 (quote coin)"
        )


class BarSize(NamedTuple):
    """When a bar closes: ``size / 10**scale`` trades, base coins or quote coins."""

    kind: BarKind
    size: int
    scale: int = 0

    @property
    def text(self) -> str:
        """Return the canonical text, as it stands in rows."""
        return f"{self.kind}:{text(self.size, self.scale)}"

    def limit(self, scale: int) -> int:
        """Return the least whole number at another scale that is not below the size."""
        return -(-self.size * int(10**scale) // int(10**self.scale))


def parse_bar_size(text: str) -> BarSize:
    """Return what ``tick:1000``, ``volume:0.5``, ``dollar:1000000`` name; raise BadBarSize."""
    kind, colon, number = text.strip().partition(":")
    if not colon or kind not in get_args(BarKind):
        raise BadBarSize(text, f"expected one of {', '.join(get_args(BarKind))}, a colon, a size")
    try:
        scale = scale_of(number)
        size = fixed(number, scale)
    except ValueError as e:
        raise BadBarSize(text, str(e)) from e
    if size <= 0:
        raise BadBarSize(text, "its size is not above zero")
    if kind == "tick" and scale:
        raise BadBarSize(text, "trades are counted in whole numbers")
    return BarSize(kind, size, scale)  # type: ignore[arg-type] # it is one of them


def parse_bar_sizes(texts: Iterable[str]) -> tuple[BarSize, ...]:
    """Return several, each once, in their order."""
    found = tuple(dict.fromkeys(map(parse_bar_size, texts)))
    if len(found) > BAR_SIZES_MAX:
        raise BadBarSize(",".join(s.text for s in found), f"they are more than {BAR_SIZES_MAX}")
    return found


class TradeBar(msgspec.Struct, frozen=True):
    """A bar of as many trades as reach its size; it never spans midnight UTC."""

    symbol: str
    """The venue's own name."""
    bar: str
    """When it closes: tick:1000 (trades), volume:50 (base coin), dollar:1000000 (quote coin)."""
    day: int
    """The midnight UTC before it, in ms since 1970."""
    seq: int
    """Its number in that day, from 0."""
    timestamp: int
    """The time of its first trade, in ms since 1970."""
    end: int
    """The time of its last trade, in ms since 1970."""
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    """In the base coin."""
    quote_volume: Decimal
    """In the quote coin: the sum of price times quantity."""
    taker_buy_volume: Decimal
    """The part of ``volume`` whose taker bought."""
    taker_buy_quote_volume: Decimal
    """The part of ``quote_volume`` whose taker bought."""
    trade_count: int
    """As the venue counts: an aggregate counts the trades inside it."""
    first_id: int
    """The id of its first trade by (time, id); by (time, arrival) where ids have no order."""
    last_id: int
    """The id of its last trade, by the same order."""
    closed: bool
    """Always true: open bars are not told."""
    rev: int
    """The offset of the last trade record that changed it: a trade inside, or its proof."""
    cause: Cause
    """Why this revision exists: a trade in time, a late one, or where a fetched one came from."""
    quality: Quality
    """proven: no id of its range is missing; gap: ``missing`` are, or (0) the stream began inside
    it; assumed: ids have no order, so that nothing proves it."""
    missing: int
    """How many ids of its range never came."""


class BarEnvelope(msgspec.Struct, frozen=True):
    """The value of ``md.bars.v1``: bars of one symbol."""

    exchange: str
    channel: Channel
    data: list[TradeBar]
    recv_ms: int
    """When the newest trade in it was received by the ingestor."""
    data_type: Literal["bars"] = "bars"


decode_bars = msgspec.json.Decoder(BarEnvelope).decode
