"""Ticks: the last trade of each symbol with its quantity and side, conflated.

It reads every trade a second time, beside the candles' agent: run it where somebody asks for it.
The state is what is published.
"""

from collections.abc import Mapping

import msgspec

from processors.fold import UnknownState, Unreadable
from processors.symbols import Market, SymbolFold, SymbolState
from schemas.numbers import text
from schemas.snapshots import decode_ticks
from schemas.topics import TICKS, TRADES, Topic
from schemas.trades import Flag, SymbolTrades, UnreadableBatch, decode_batch


class TickState(SymbolState):
    """The last trade of a symbol; ``row`` is what stands between its name and its ``rev``."""

    __slots__ = ("id", "name", "row", "ts")

    def __init__(self, market: Market, symbol: str) -> None:
        super().__init__(market, symbol)
        self.name = msgspec.json.encode(symbol).decode()
        self.ts = self.id = -1
        self.row = ""

    def take(self, group: SymbolTrades) -> bool:
        """Take the last trade of a group; return whether it is the last of the symbol."""
        at = _last(group)
        if at is None:
            return False
        ts, id_ = group.ts[at], group.id[at]
        # Inside a millisecond the id decides, or, where ids have no order, who came last.
        if ts < self.ts or (ts == self.ts and group.ids != "unique" and id_ <= self.id):
            return False
        self.ts, self.id = ts, id_
        price = text(group.price[at], group.price_scale)
        self._tell(price, text(group.qty[at], group.qty_scale), group.sides()[at])
        return True

    def load(self, value: bytes) -> None:
        """Take what ``value`` returned; raise ValueError or MsgspecError."""
        envelope = decode_ticks(value)
        (tick,) = envelope.data
        self.ts, self.id, self.rev = tick.ts, tick.id, tick.rev
        self.recv_ms = envelope.recv_ms
        self._tell(format(tick.price, "f"), format(tick.qty, "f"), tick.side)

    def value(self) -> bytes:
        """Return the trade as the value of a record."""
        _, exchange, channel = self.market
        return (
            f'{{"exchange":"{exchange}","channel":"{channel}","data_type":"tick"'
            f',"recv_ms":{self.recv_ms},"data":[{{"symbol":{self.name}{self.row}'
            f',"rev":{self.rev}}}]}}'
        ).encode()

    def _tell(self, price: str, qty: str, side: int) -> None:
        self.row = f',"price":{price},"qty":{qty},"side":{side},"ts":{self.ts},"id":{self.id}'


class Ticks(SymbolFold[TickState]):
    """Folds ``md.trades.v1`` into ``md.ticks.v1``."""

    name = "ticks"
    reads: tuple[Topic, ...] = (TRADES,)
    writes: tuple[Topic, ...] = (TICKS,)

    def apply(self, topic: Topic, partition: int, offset: int, value: bytes) -> None:  # noqa: ARG002
        """Fold one record, whole or not at all; raise Unreadable."""
        try:
            batch = decode_batch(value)
        except UnreadableBatch as e:
            raise Unreadable(str(e)) from e
        market = Market(partition, batch.exchange, batch.channel)
        symbols = self._markets.setdefault(market, {})
        recv_ms = batch.recv_ns // 1_000_000
        for group in batch.symbols:
            state = symbols.get(group.symbol)
            if state is None:
                state = symbols[group.symbol] = TickState(market, group.symbol)
            if offset > state.rev and state.take(group):
                self._changed(state, offset, recv_ms)

    def _restored(
        self,
        market: Market,
        symbol: str,
        value: bytes,
        states: Mapping[bytes, bytes],  # noqa: ARG002
    ) -> TickState:
        state = TickState(market, symbol)
        try:
            state.load(value)
        except (msgspec.MsgspecError, ValueError) as e:
            raise UnknownState(f"tick of {symbol}: {e}") from e
        return state


def _last(group: SymbolTrades) -> int | None:
    """Return the place of the last trade that belongs in candles."""
    places = range(len(group))
    order = places if group.ids == "unique" else group.id
    ranks = zip(group.ts, order, places, strict=True)
    if group.flags:
        flags = group.flag_list()
        ranks = (rank for rank in ranks if not flags[rank[2]] & Flag.NON_MARKET)  # type: ignore[assignment]
    return max(ranks, default=(0, 0, None))[2]
