"""From trades as they come to TradeBatch records: columns by symbol, symbols by partition.

The scale of a symbol starts at the instrument's and only grows: when a text has more decimals,
the group in hand is rewritten at the larger scale, so that no digit is ever lost.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ingest.decimals import decimals_needed, rescaled
from ingest.exchanges.base import TradeRow
from schemas.trades import Channel, IdRule, Source, SymbolTrades, TradeBatch

RECORD_ROWS_MAX = 5_000  # ~80 bytes each: well below Kafka's default limit of 1 MB a record

Scales = Mapping[str, tuple[int, int]]
"""Symbol to price scale and quantity scale."""


@dataclass(slots=True)
class _Symbol:
    """What is remembered of a symbol between records."""

    partition: int
    price_scale: int
    qty_scale: int


@dataclass(slots=True)
class _Record:
    """The record in the making of one partition."""

    groups: dict[str, SymbolTrades] = field(default_factory=dict)
    rows: int = 0
    recv_ns: int = 0


class Collector:
    """Collects the trades of one exchange and channel until they are drained.

    ``ids`` is the market's rule; ``contract_sizes`` are base coins by symbol, as exact decimal
    text: 1 is the same as none.
    """

    def __init__(
        self,
        exchange: str,
        channel: Channel,
        *,
        partition_of: Callable[[str], int],
        scales: Scales | None = None,
        source: Source = "live",
        ids: IdRule = "dense",
        contract_sizes: Mapping[str, str] | None = None,
    ) -> None:
        self.rows = 0
        self._exchange = exchange
        self._channel: Channel = channel
        self._source: Source = source
        self._partition_of = partition_of
        self._scales = scales or {}
        self._ids: IdRule = ids
        self._contract_sizes = contract_sizes or {}
        self._symbols: dict[str, _Symbol] = {}
        self._open: dict[int, _Record] = {}
        self._full: list[tuple[int, TradeBatch]] = []

    def add(self, row: TradeRow, recv_ns: int) -> None:
        """Take one trade; raise Unfit, having taken nothing, if 64 bits cannot hold it."""
        symbol = self._symbols.get(row.symbol) or self._first_seen(row)
        price = rescaled(row.price, row.price_scale, symbol.price_scale)
        qty = rescaled(row.qty, row.qty_scale, symbol.qty_scale)
        if price is None or qty is None:
            price, qty = self._grow(symbol, row)
        record = self._open.get(symbol.partition)
        if record is None:
            record = self._open[symbol.partition] = _Record()
        group = record.groups.get(row.symbol)
        if group is None:
            group = record.groups[row.symbol] = self._empty(row.symbol, symbol)
        group.id.append(row.id)
        group.ts.append(row.ts)
        group.price.append(price)
        group.qty.append(qty)
        group.side.append(row.side)  # type: ignore[union-attr]
        group.flags.append(row.flags)  # type: ignore[union-attr]
        group.first.append(row.first)  # type: ignore[union-attr]
        group.last.append(row.last)  # type: ignore[union-attr]
        if row.uid:
            _add_uid(group, row.uid)
        record.recv_ns = recv_ns
        record.rows += 1
        self.rows += 1
        if record.rows >= RECORD_ROWS_MAX:
            self._full.append((symbol.partition, self._sealed(self._open.pop(symbol.partition))))

    def drain(self) -> Iterator[tuple[int, TradeBatch]]:
        """Yield every record with its partition, oldest first within a partition."""
        full, records = self._full, self._open
        self._full, self._open, self.rows = [], {}, 0
        yield from full
        for partition, record in records.items():
            yield partition, self._sealed(record)

    def _first_seen(self, row: TradeRow) -> _Symbol:
        price_scale, qty_scale = self._scales.get(row.symbol, (0, 0))
        symbol = _Symbol(self._partition_of(row.symbol), price_scale, qty_scale)
        self._symbols[row.symbol] = symbol
        return symbol

    def _grow(self, symbol: _Symbol, row: TradeRow) -> tuple[int, int]:
        """Widen the scales to hold this row, or raise Unfit and change nothing."""
        price_scale = max(symbol.price_scale, decimals_needed(row.price, row.price_scale))
        qty_scale = max(symbol.qty_scale, decimals_needed(row.qty, row.qty_scale))
        price = _exact(row.price, row.price_scale, price_scale)
        qty = _exact(row.qty, row.qty_scale, qty_scale)
        record = self._open.get(symbol.partition)
        group = record.groups.get(row.symbol) if record else None
        if group is not None:
            prices = [_exact(p, symbol.price_scale, price_scale) for p in group.price]
            qtys = [_exact(q, symbol.qty_scale, qty_scale) for q in group.qty]
            group.price, group.qty = prices, qtys
            group.price_scale, group.qty_scale = price_scale, qty_scale
        symbol.price_scale, symbol.qty_scale = price_scale, qty_scale
        return price, qty

    def _empty(self, name: str, symbol: _Symbol) -> SymbolTrades:
        size = self._contract_sizes.get(name)
        return SymbolTrades(
            symbol=name,
            price_scale=symbol.price_scale,
            qty_scale=symbol.qty_scale,
            id=[],
            ts=[],
            price=[],
            qty=[],
            side=[],
            flags=[],
            first=[],
            last=[],
            ids=self._ids,
            contract_size=None if size == "1" else size,
        )

    def _sealed(self, record: _Record) -> TradeBatch:
        for group in record.groups.values():
            _compact(group)
        return TradeBatch(
            exchange=self._exchange,
            channel=self._channel,
            source=self._source,
            recv_ns=record.recv_ns,
            symbols=list(record.groups.values()),
        )


def _add_uid(group: SymbolTrades, uid: str) -> None:
    """Give the newest trade its text id; those before it without one have an empty text."""
    uids = group.uid
    if uids is None:
        uids = group.uid = []
    uids += [""] * (len(group.id) - 1 - len(uids))
    uids.append(uid)


def _compact(group: SymbolTrades) -> None:
    """Send constant columns once, and leave out what only repeats the id."""
    sides, flags = group.sides(), group.flag_list()
    if sides.count(sides[0]) == len(sides):
        group.side = sides[0]
    if flags.count(flags[0]) == len(flags):
        group.flags = flags[0]
    if group.ids != "range" and group.first == group.id == group.last:
        group.first = group.last = None
    if group.uid is not None:
        group.uid += [""] * (len(group.id) - len(group.uid))


def _exact(value: int, scale: int, wanted: int) -> int:
    moved = rescaled(value, scale, wanted)
    if moved is None:
        raise AssertionError(f"{value} at {scale} decimals was measured to fit {wanted}")
    return moved
