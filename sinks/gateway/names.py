"""Names of exchanges, kinds and transports as people write them, to ours; what is unknown is told.

``BinanceLinear``, ``HyperliquidPerp``, ``L2Book``, ``Ws`` and ``HttpPoll`` are understood too.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from schemas.capabilities import CAPABILITIES
from schemas.streams import KINDS, Kind, Transport
from schemas.trades import Channel

NEAR_MAX = 5
NOT_FOUND = 404
UNPROCESSABLE = 422

Market = tuple[str, Channel]

_CHANNEL_WORDS: dict[Channel, tuple[str, ...]] = {
    "linear": ("linear", "perp", "perpetual", "perpetuals", "swap", "futures", "usdm"),
    "spot": ("spot",),
}
_KIND_WORDS: dict[str, tuple[Kind, ...]] = {
    **{kind.replace("-", ""): (kind,) for kind in KINDS},
    "trade": ("trades",),
    "ticker": ("tickers",),
    "book": ("books",),
    "l2book": ("books",),
    "liquidation": ("liquidations",),
    "klines": ("venue-klines",),
    "fundingopeninterest": ("funding", "open-interest"),
}
_TRANSPORT_WORDS: dict[str, Transport] = {
    "ws": "ws",
    "websocket": "ws",
    "http": "http",
    "httppoll": "http",
    "rest": "http",
}


class Unknown(ValueError):  # noqa: N818 - reads as what it says
    """A name that is not known, with those that are near; ``status`` is HTTP's."""

    def __init__(self, reason: str, near: Iterable[str] = (), *, status: int = NOT_FOUND) -> None:
        super().__init__(reason)
        self.reason = reason
        self.near = list(near)
        self.status = status


def markets(exchange: str, channel: Channel | None = None) -> list[Market]:
    """Return the markets that a name means, linear first; raise Unknown."""
    word = _plain(exchange)
    found: list[Market] = [
        (name, its)
        for name, channels in CAPABILITIES.items()
        for its in sorted(channels, key=tuple(_CHANNEL_WORDS).index)
        if word == name or word in {name + suffix for suffix in _CHANNEL_WORDS[its]}
    ]
    if not found:
        near = get_close_matches(word, CAPABILITIES, NEAR_MAX, 0.5) or sorted(CAPABILITIES)
        raise Unknown(f"there is no exchange {exchange!r}", near)
    fitting = [market for market in found if channel in (None, market[1])]
    if not fitting:
        has = [its for _, its in found]
        raise Unknown(f"{exchange} has no channel {channel!r}", has, status=UNPROCESSABLE)
    return fitting


def kinds(text: str) -> tuple[Kind, ...]:
    """Return the kinds that a name means; raise Unknown."""
    found = _KIND_WORDS.get(_plain(text))
    if found is None:
        near = get_close_matches(text.lower(), KINDS, NEAR_MAX, 0.5) or KINDS
        raise Unknown(f"there is no kind {text!r}", near, status=UNPROCESSABLE)
    return found


def transport_of(market: Market, kind: Kind, asked: str | None) -> Transport:
    """Return how a kind of a market comes; raise Unknown.

    ``ws`` and ``http`` are insisted on. The other spellings come from clients of a program that
    polled what we stream: they get it the way it comes.
    """
    has = CAPABILITIES[market[0]][market[1]]
    if asked is not None and _plain(asked) not in _TRANSPORT_WORDS:
        raise Unknown(f"there is no transport {asked!r}", ("ws", "http"), status=UNPROCESSABLE)
    if kind not in has:
        raise Unknown(f"{' '.join(market)} has no {kind}", has, status=UNPROCESSABLE)
    how = has[kind]
    if asked in ("ws", "http") and asked != how:
        reason = f"{kind} of {' '.join(market)} comes by {how}, not by {asked}"
        raise Unknown(reason, (how,), status=UNPROCESSABLE)
    return how


def _plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())
