"""Why somebody who wants a kind of a symbol may wait in vain, in words that help: no I/O."""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import lru_cache

from runtime.settings import Settings
from schemas import streams
from schemas.capabilities import CAPABILITIES
from schemas.control import RUNNING
from schemas.trades import Channel
from sinks.gateway.control import StreamTable
from sinks.gateway.names import NEAR_MAX
from sinks.gateway.protocol import ANY, Kind, KindKey, is_of

AGENTS: dict[Kind, str] = {
    "prices": "klines",
    "tickers": "tickers",
    "books": "books",
    "ticks": "ticks",
    "stats": "stats",
}
STREAMS: dict[Kind, streams.Kind] = {
    "trades": "trades",
    "prices": "trades",
    "ticks": "trades",
    "stats": "trades",
    "tickers": "tickers",
    "books": "books",
}
"""What each is made of; gaps are told of all."""
OF_CANDLES = ("prices", "stats")
"""What is made of the exchange's own candles where those are passed on."""

Place = tuple[str, Channel]
LOOKS_KEPT_MAX = 1_024


class Hints:
    """What ``Kinds`` asks: ``of`` a subscription."""

    def __init__(self, settings: Settings, table: StreamTable) -> None:
        self._agents = frozenset(settings.process_agents)
        self._is_of_venue = settings.aggregator_mode == "klines"
        self._table = table
        self._look = lru_cache(LOOKS_KEPT_MAX)(self._looked_up)

    def of(self, key: KindKey, may_look: Callable[[], bool]) -> str | None:
        """Return why nothing may come; where it ``may_look``, with names like an unknown one."""
        agent = AGENTS.get(key.kind)
        if agent is not None and agent not in self._agents:
            return f"the agent {agent!r} makes {key.kind}, and STREAMER_PROCESS_AGENTS lacks it"
        stream = STREAMS.get(key.kind)
        if stream is None:
            return None
        if self._is_of_venue and key.kind in OF_CANDLES:
            stream = "venue-klines"
        places = list(_places(key, stream))
        if not places:
            return f"there are no {stream} of {key.exchange} {key.channel}"
        if self._runs(places, key.symbol, stream):
            return None
        near = self._near(places, key.symbol, may_look)
        return f"no stream of {stream} runs for {' '.join(key[:3])}{near}"

    def _runs(self, places: list[Place], symbol: str, stream: streams.Kind) -> bool:
        if symbol == ANY:
            return any(
                status.state in RUNNING and key.kind == stream and key[:2] in places
                for key, status in self._table.statuses.items()
            )
        keys = (
            streams.StreamKey(*place, symbol, stream, CAPABILITIES[place[0]][place[1]][stream])
            for place in places
        )
        return any(self._table.state(key) in RUNNING for key in keys)

    def _near(self, places: list[Place], symbol: str, may_look: Callable[[], bool]) -> str:
        listed = [self._table.instruments.get(place, {}) for place in places]
        if symbol == ANY or any(symbol in names for names in listed) or not may_look():
            return ""
        # What was listed since changes how many there are, or which is the last.
        version = tuple((len(names), next(reversed(names), "")) for names in listed)
        return self._look(symbol.upper(), tuple(places), version)

    def _looked_up(self, symbol: str, places: tuple[Place, ...], version: object) -> str:  # noqa: ARG002
        names = [name for place in places for name in self._table.instruments.get(place, ())]
        near = dict.fromkeys(get_close_matches(symbol, names, NEAR_MAX))
        return f"; similar: {', '.join(near)}" if near else ""


def _places(key: KindKey, stream: streams.Kind) -> Iterator[Place]:
    for exchange, channels in CAPABILITIES.items():
        for channel, kinds in channels.items():
            if is_of(key, (exchange, channel)) and stream in kinds:
                yield exchange, channel
