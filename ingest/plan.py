"""What an ingestor shall stream: markets, kinds and symbols, from its settings and the venue."""

import re
from collections.abc import Mapping, Sequence
from typing import cast

from ingest import endpoints, symbols
from ingest.exchanges.base import Exchange, Instrument, Market
from ingest.polls import Asker
from ingest.rest import Host
from runtime.errors import Misconfigured, Poison
from runtime.kafka import partition_for
from runtime.settings import Settings
from schemas.streams import KINDS, Kind
from schemas.topics import symbol_key
from schemas.trades import Channel

PAGES_MAX = 100  # of one venue's list of instruments
SHARE = re.compile(r"([1-9][0-9]{0,2})/([1-9][0-9]{0,2})")

Listed = dict[Channel, list[Instrument]]


def enabled(settings: Settings, exchange: Exchange) -> list[Market]:
    """Return the markets that the settings switch on."""
    wanted: dict[Channel, bool] = {
        "linear": settings.enable_linear_stream,
        "spot": settings.enable_spot_stream,
    }
    markets = [m for channel, m in exchange.markets.items() if wanted[channel]]
    if not markets:
        raise Misconfigured(
            "STREAMER_ENABLE_LINEAR_STREAM",
            f"no channel of {exchange.name} is enabled",
            remedy=f"It has: {' and '.join(exchange.markets)}. Enable it, or "
            "STREAMER_ENABLE_SPOT_STREAM.",
        )
    return markets


def kinds(settings: Settings) -> tuple[Kind, ...]:
    """Return the kinds that shall be streamed, as far as a venue has them."""
    if "all" in settings.stream_kinds:
        return KINDS
    for kind in settings.stream_kinds:
        if kind not in KINDS:
            raise Misconfigured(
                "STREAMER_STREAM_KINDS",
                f"there is no kind {kind!r}",
                remedy=f"Known: {', '.join(KINDS)}, or all.",
            )
    return cast("tuple[Kind, ...]", settings.stream_kinds)


class Share:
    """The part of the symbols that is this ingestor's, of several for one exchange."""

    def __init__(self, settings: Settings, exchange: Exchange) -> None:
        found = SHARE.fullmatch(settings.exchange_share)
        self._part, self._parts = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= self._part <= self._parts:
            raise Misconfigured(
                "STREAMER_EXCHANGE_SHARE",
                f"{settings.exchange_share!r} is no share",
                remedy="1/1 for all symbols; 1/3, 2/3 and 3/3 for three ingestors.",
            )
        self._exchange = exchange.name

    def __call__(self, channel: Channel, symbol: str) -> bool:
        """Say whether a symbol is streamed by this ingestor."""
        key = symbol_key(self._exchange, channel, symbol)
        return partition_for(key, self._parts) == self._part - 1


async def instruments(
    settings: Settings, exchange: Exchange, market: Market, ask: Asker
) -> list[Instrument]:
    """Ask the venue what it lists; raise Misconfigured where the address answers otherwise."""
    bodies: list[bytes] = []
    try:
        for first in market.instruments:
            request = first
            for _ in range(PAGES_MAX):
                bodies.append(await ask(request))
                following = market.next_page(bodies[-1])
                if following is None:
                    break
                request = following
        return market.read_instruments(bodies)
    except Poison as e:
        raise _unlike(settings, exchange, market, e) from e


async def choose(
    settings: Settings,
    exchange: Exchange,
    markets: Sequence[Market],
    hosts: Mapping[Channel, Host],
    listed: Listed,
) -> symbols.Chosen:
    """Return what shall be streamed per channel: the configured symbols, or the busiest."""
    share = Share(settings, exchange)
    if not settings.exchange_load_all_symbols:
        chosen = symbols.configured(listed, settings.exchange_symbols)
    else:
        activity = {}
        for market in markets:
            try:
                body = await hosts[market.channel].ask(market.activity)
                activity[market.channel] = market.read_activity(body)
            except Poison as e:
                raise _unlike(settings, exchange, market, e) from e
        chosen = symbols.busiest(listed, activity, settings.exchange_symbols_limit)
    return {
        channel: [i for i in found if share(channel, i.symbol)] for channel, found in chosen.items()
    }


def _unlike(settings: Settings, exchange: Exchange, market: Market, e: Poison) -> Misconfigured:
    endpoint = endpoints.rest(settings, market)
    return endpoint.wrong(f"does not answer like {exchange.name}: {e.reason}")
