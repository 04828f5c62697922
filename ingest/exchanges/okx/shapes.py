"""What OKX v5 pushes, typed. Every number is text on the wire, but for the ids of books.

Lenient towards new fields, strict towards these. The decoders read integers out of text, so a
field that is an ``int`` here may be ``"12"`` there; prices and quantities stay text.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from schemas.numbers import INT64_MAX

Id = Annotated[int, Meta(ge=0, le=INT64_MAX)]
# Milliseconds between 2001 and 2286: a stamp in other units would close every candle at once.
TimeMs = Annotated[int, Meta(ge=10**12, lt=10**13)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Number = Annotated[str, Meta(pattern=r"\A[0-9]{1,30}(\.[0-9]{1,30})?\Z")]
Signed = Annotated[str, Meta(pattern=r"\A(-?[0-9]{1,30}(\.[0-9]{1,30})?)?\Z")]
"""Or nothing: an empty text says that there is no such number."""
Side = Literal["buy", "sell"]


class Arg(Struct, gc=False):
    """Which channel, and of what: exactly one of the others is there."""

    channel: Name
    instId: str = ""  # noqa: N815 - the venue's names, here and below
    instType: str = ""  # noqa: N815
    instFamily: str = ""  # noqa: N815
    uly: str = ""
    sprdId: str = ""  # noqa: N815

    @property
    def topic(self) -> str:
        """The name under which we subscribe to it."""
        of = self.instId or self.instType or self.instFamily or self.uly or self.sprdId
        return f"{self.channel}:{of}"


class Push(Struct, gc=False):
    """Any frame with data; the data is read once its channel is known."""

    arg: Arg
    data: Raw
    action: str = ""


class Event(Struct, gc=False):
    """Any frame without data."""

    event: Name
    arg: Arg | None = None
    id: str = ""
    code: str = ""
    msg: str = ""


class Trade(Struct, gc=False):
    """Matches of one taker at one price: ``trades``; one match: ``trades-all``."""

    instId: Name  # noqa: N815
    tradeId: Id  # noqa: N815
    """The last one inside."""
    px: str
    sz: str
    side: Side
    ts: TimeMs
    count: Annotated[int, Meta(ge=1, le=INT64_MAX)] = 1
    source: str = "0"
    """"1": a retail price improvement order (once called ELP)."""


class TradesArg(Struct, gc=False):
    """The argument of the common frame."""

    channel: Literal["trades"]


class Trades(Struct, gc=False):
    """The common frame, whole."""

    arg: TradesArg
    data: list[Trade]


class Depth(Struct, gc=False):
    """A book's snapshot or update. A level is price, quantity, "0", number of orders."""

    asks: list[tuple[str, ...]]
    bids: list[tuple[str, ...]]
    ts: TimeMs
    seqId: Id | None = None  # noqa: N815
    """Not there before 2023."""
    prevSeqId: Annotated[int, Meta(ge=-1, le=INT64_MAX)] = -1  # noqa: N815
    checksum: int = 0


class Ticker(Struct, gc=False):
    """``tickers``: always whole. Sizes are contracts on derivatives."""

    instId: Name  # noqa: N815
    ts: TimeMs
    last: Signed = ""
    lastSz: Signed = ""  # noqa: N815
    askPx: Signed = ""  # noqa: N815
    askSz: Signed = ""  # noqa: N815
    bidPx: Signed = ""  # noqa: N815
    bidSz: Signed = ""  # noqa: N815
    open24h: Signed = ""
    high24h: Signed = ""
    low24h: Signed = ""
    vol24h: Signed = ""
    """Base coins on spot, contracts on derivatives."""
    volCcy24h: Signed = ""  # noqa: N815
    """Quote coins on spot, base coins on derivatives."""


class FundingRate(Struct, gc=False):
    """``funding-rate``; a frame without the rate has been seen."""

    instId: Name  # noqa: N815
    fundingRate: Signed = ""  # noqa: N815
    fundingTime: str = ""  # noqa: N815
    """When ``fundingRate`` will be paid."""
    nextFundingTime: str = ""  # noqa: N815
    """The time after that one."""
    ts: TimeMs | None = None
    """Not there before 2023."""


class MarkPrice(Struct, gc=False):
    """``mark-price``."""

    instId: Name  # noqa: N815
    markPx: Number  # noqa: N815
    ts: TimeMs


class IndexTicker(Struct, gc=False):
    """``index-tickers``: of an index such as BTC-USDT, not of an instrument."""

    instId: Name  # noqa: N815
    idxPx: Number  # noqa: N815
    ts: TimeMs


class OpenInterest(Struct, gc=False):
    """``open-interest``: ``oi`` in contracts, ``oiCcy`` in base coins."""

    instId: Name  # noqa: N815
    oiCcy: Number  # noqa: N815
    ts: TimeMs


class LiquidationDetail(Struct, gc=False):
    """One forced order; ``sz`` in contracts."""

    side: Side
    bkPx: Number  # noqa: N815
    sz: Number
    ts: TimeMs


class Liquidations(Struct, gc=False):
    """``liquidation-orders``: some of one instrument, in no order."""

    instId: Name  # noqa: N815
    details: list[LiquidationDetail]


BOOKS = frozenset({"books", "books-l2-tbt", "books50-l2-tbt"})
"""Told as a snapshot and updates."""
TOPS = frozenset({"books5", "bbo-tbt"})
"""Of books: told as snapshots only."""

# Documented, and not ours to store.
OTHERS = frozenset(
    {
        "adl-warning",
        "block-tickers",
        "books-elp",
        "books-rpi",
        "call-auction-details",
        "economic-calendar",
        "estimated-price",
        "instruments",
        "liquidations",
        "opt-summary",
        "option-trades",
        "price-limit",
        "public-block-trades",
        "public-struc-block-trades",
        "sprd-bbo-tbt",
        "sprd-books-l2-tbt",
        "sprd-books5",
        "sprd-public-trades",
        "sprd-tickers",
        "status",
    }
)
OTHER_CANDLES = ("index-candle", "mark-price-candle", "sprd-candle")
OTHER_EVENTS = frozenset({"channel-conn-count", "login", "notice"})

UNIT_MS: Mapping[str, int] = {
    "s": 1_000,
    "m": 60_000,
    "H": 3_600_000,
    "D": 86_400_000,
    "W": 7 * 86_400_000,
    "M": 30 * 86_400_000,
}


def decimal(number: Signed) -> Decimal | None:
    """Return the number, exactly, or None where the venue tells none."""
    return Decimal(number) if number else None
