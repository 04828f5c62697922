"""The last trade of every symbol, as ``md.ticks.v1`` tells it: no I/O."""

import msgspec

from runtime.errors import Poison
from schemas.snapshots import Tick, decode_ticks

SYMBOLS_MAX = 50_000
_Market = tuple[str, str, str]


class LastTrades:
    """The newest tick of each symbol; ``take`` keeps it up to date."""

    def __init__(self) -> None:
        self._ticks: dict[_Market, Tick] = {}

    def take(self, value: bytes) -> None:
        """Take a record; raise Poison."""
        try:
            envelope = decode_ticks(value)
        except msgspec.MsgspecError as e:
            raise Poison(f"no tick record: {e}", payload=value) from e
        for tick in envelope.data:
            place = (envelope.exchange, envelope.channel, tick.symbol)
            known = self._ticks.get(place)
            if known is None and len(self._ticks) >= SYMBOLS_MAX:
                raise Poison(f"more than {SYMBOLS_MAX} symbols", payload=value)
            if known is None or known.rev <= tick.rev:
                self._ticks[place] = tick

    def of(self, exchange: str, channel: str, symbol: str) -> Tick | None:
        """Return the last trade; None: none was told."""
        return self._ticks.get((exchange, channel, symbol))
