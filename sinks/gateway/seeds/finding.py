"""Which symbol a bare name means: of what streams here, else of what the exchange lists."""

from collections.abc import Iterator

from schemas.streams import StreamKey
from schemas.trades import Channel
from sinks.gateway import names
from sinks.gateway.control import StreamRef, StreamTable
from sinks.gateway.data.asked import near, refuse
from sinks.gateway.hub import Hub
from sinks.gateway.names import NOT_FOUND, Market
from sinks.gateway.streams import known

TRADES = "trades"


class Finder:
    """Names to symbols, and back to what is near; what is unknown is answered with 404."""

    def __init__(self, table: StreamTable, hub: Hub) -> None:
        self._table = table
        self._hub = hub

    def available(self, exchange: str, channel: Channel | None) -> list[str]:
        """Return the symbols that can be streamed."""
        rows = self._table.rows(known(lambda: names.markets(exchange, channel)))
        return sorted({row.symbol for row in rows if row.is_streamed})

    def active(self, exchange: str, channel: Channel | None) -> list[StreamKey]:
        """Return the streams of trades that are wanted or run."""
        markets = known(lambda: names.markets(exchange, channel))
        every = self._table.streams(with_removed=False)
        return [key for key in every if key[:2] in markets and key.kind == TRADES]

    def addable(self, exchange: str, channel: Channel | None, symbol: str) -> list[StreamKey]:
        """Return the stream of trades that a symbol can have."""
        asked = self._named(exchange, channel, symbol)
        return known(lambda: self._table.resolve(asked))

    def removable(self, exchange: str, channel: Channel | None, symbol: str) -> list[StreamKey]:
        """Return the stream of trades that a symbol has."""
        active = self.active(exchange, channel)
        wanted = {symbol, symbol.upper()}
        found = [key for key in active if key.symbol in wanted]
        if not found:
            like = near(symbol, (key.symbol for key in active))
            refuse(f"{symbol} is not streamed", like, NOT_FOUND)
        return found[:1]

    def heard(self, exchange: str, channel: Channel | None, symbol: str) -> tuple[Market, str]:
        """Return the market and the symbol that has candles, or is listed."""
        markets = known(lambda: names.markets(exchange, channel))
        for market in markets:
            candles = set(self._with_candles(market))
            for name in (symbol, symbol.upper()):
                if name in candles:
                    return market, name
        asked = self._named(exchange, channel, symbol)
        (key, *_) = known(lambda: self._table.resolve(asked))
        if not self._table.instruments.get(key[:2]):  # nobody told what there is
            like = near(symbol, self._with_candles(key[:2]))
            refuse(f"{exchange} has no symbol {symbol!r}", like, NOT_FOUND)
        return (key.exchange, key.channel), key.symbol

    def _named(self, exchange: str, channel: Channel | None, symbol: str) -> StreamRef:
        """Return the name as it is, or in capitals where only that is listed."""
        for market in known(lambda: names.markets(exchange, channel)):
            listed = self._table.instruments.get(market, {})
            if symbol not in listed and symbol.upper() in listed:
                symbol = symbol.upper()
        return StreamRef(
            exchange=exchange, symbol=symbol, kind=TRADES, transport=None, channel=channel
        )

    def _with_candles(self, market: Market) -> Iterator[str]:
        return (key.symbol for key in self._hub.history.series if key[:2] == market)
