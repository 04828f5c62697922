"""The series of every symbol: candles come in, and what is news goes to who asked for it.

Most records only let the same open candles grow, and most of those nobody has asked for: the
newest such record of a symbol stands for them until somebody does.
"""

from collections import defaultdict
from collections.abc import Callable

from schemas.intervals import Interval
from sinks.gateway import envelopes, metrics
from sinks.gateway.candles import Candle, Record
from sinks.gateway.clients import Audience, Turn
from sinks.gateway.gaps import Market
from sinks.gateway.history import History, Series
from sinks.gateway.meter import Meter
from sinks.gateway.outbox import update_of
from sinks.gateway.protocol import ANY, Key, is_of

_Place = tuple[str, str]
"""Exchange and channel."""


class Symbol:
    """The series of one symbol on one market, by (length, anchor)."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.series: dict[tuple[int, str], Series] = {}
        self.shortest: Series | None = None
        self.latest: Record | None = None
        self.rows: list[Series] = []
        """The series of each row of ``latest``."""
        self._is_fresh = True

    def grows_by(self, record: Record) -> bool:
        """Say whether a record is the next state of the very candles in the latest one."""
        latest = self.latest
        if (
            latest is None
            or record.rows[0].rev <= latest.rows[0].rev
            or record.windows != latest.windows
        ):
            return False
        self._is_fresh = False
        return True

    def refresh(self) -> None:
        """Bring every open candle up to the latest record; the next one is looked at whole."""
        latest, self.latest = self.latest, None
        if latest is None or self._is_fresh:
            return
        self._is_fresh = True
        for at, series in enumerate(self.rows):
            candle = series.candles.get(latest.rows[at].timestamp)
            if candle is not None and candle.version < latest.rows[at].version:
                latest.renew(candle, at)
                series.recv_ms = max(series.recv_ms, latest.recv_ms)

    def drop(self, place: tuple[int, str]) -> None:
        """Forget a series; the others keep what they have."""
        self.refresh()
        self.rows = []
        del self.series[place]
        self.shortest = min(self.series.values(), key=_interval, default=None)


class Markets:
    """All series; ``accept`` takes candles in."""

    def __init__(
        self, history: History, turn: Turn, begun: Callable[[Series], None], meter: Meter
    ) -> None:
        self.history = history
        self.is_live = False
        """False while the past is read: it counts for no rate."""
        self.names: set[str] = set()
        """Of all symbols of which there ever was a candle."""
        self.queued = 0  # rows for clients, since somebody looked
        self._turn = turn
        self._begun = begun
        self._meter = meter
        self._symbols: dict[Market, Symbol] = {}
        self._places: set[_Place] = set()
        self._heads: dict[_Place, str] = {}
        self._by_interval: defaultdict[Interval, defaultdict[_Place, dict[str, Series]]] = (
            defaultdict(lambda: defaultdict(dict))
        )

    def accept(self, record: Record) -> None:
        """Take candles in and queue what is news for those who asked for it."""
        if record.offset >= 0:
            self.history.read_to[record.partition] = record.offset + 1
        market = (record.exchange, record.channel, record.rows[0].symbol)
        symbol = self._symbols.get(market) or self._new_symbol(market)
        if symbol.grows_by(record):
            self._grow(symbol, record)
        else:
            symbol.refresh()
            self._take(symbol, record)

    def matching(self, key: Key) -> list[Series]:
        """Return the series that a key covers."""
        if not key.is_pattern:
            series = self.history.series.get(key)
            return [series] if series else []
        found: list[Series] = []
        for place, symbols in self._by_interval.get(key.interval, {}).items():
            if is_of(key, place):
                named = symbols if key.symbol == ANY else (key.symbol,)
                found += [symbols[symbol] for symbol in named if symbol in symbols]
        return found

    def knows(self, key: Key) -> bool:
        """Say whether a key means a symbol of which there were candles, of whatever interval."""
        if not key.is_pattern:
            return key[:3] in self._symbols
        return any(
            is_of(key, place) and (key.symbol == ANY or (*place, key.symbol) in self._symbols)
            for place in self._places
        )

    def fresh(self, key: Key) -> list[Series]:
        """Return the series that a key covers, with their newest rows in them."""
        found = self.matching(key)
        for series in found:
            self.refresh(series.key[:3])
        return found

    def refresh(self, market: Market) -> None:
        """Bring the newest rows of a symbol into its series."""
        self._symbols[market].refresh()

    def of(self, market: Market) -> list[Series]:
        """Return the series of one symbol."""
        symbol = self._symbols.get(market)
        return list(symbol.series.values()) if symbol else []

    def forget(self, interval: Interval) -> None:
        """Drop what there is of an interval that is made no more: what comes next is no part."""
        place = interval.length_ms, interval.anchor
        self._by_interval.pop(interval, None)
        for symbol in self._symbols.values():
            series = symbol.series.get(place)
            if series is None:
                continue
            symbol.drop(place)
            self.history.drop(series)
            self._meter.set_shortest(
                symbol.market, symbol.shortest.key.interval if symbol.shortest else None
            )

    def head(self, series: Series) -> str:
        """Return the beginning of the envelopes with a series' changes."""
        exchange, channel = series.key[:2]
        head = self._heads.get((exchange, channel))
        if head is None:
            head = self._heads[exchange, channel] = envelopes.market_head(exchange, channel)
        return head

    def _take(self, symbol: Symbol, record: Record) -> None:
        """Take every row in, each by its own revision."""
        # All series first: who waits for a new one has a position told with none of the rows.
        found = [
            symbol.series.get((row.interval, row.anchor))
            or self._new_series(symbol, Interval(row.interval, row.anchor), record.partition)
            for row in record.rows
        ]
        news = 0
        for at, (row, series) in enumerate(zip(record.rows, found, strict=True)):
            known = series.candles.get(row.timestamp)
            candle = record.candle(at)
            if not self.history.put(series, candle):
                continue
            news += 1
            self._tell(symbol, series, record, candle, known.trade_count if known else 0)
        if news < len(found):
            metrics.STALE.inc(len(found) - news)
        elif not any(row.closed for row in record.rows):
            symbol.latest, symbol.rows = record, found

    def _grow(self, symbol: Symbol, record: Record) -> None:
        """Look at nothing but what somebody wants: the rest is read when it is asked for."""
        symbol.latest = record
        for at, series in enumerate(symbol.rows):
            if series.audience or series is symbol.shortest:
                candle = series.candles.get(record.rows[at].timestamp)
                if candle is not None:
                    before = candle.trade_count
                    record.renew(candle, at)
                    self._tell(symbol, series, record, candle, before)

    def _tell(
        self, symbol: Symbol, series: Series, record: Record, candle: Candle, before: int
    ) -> None:
        series.recv_ms = max(series.recv_ms, record.recv_ms)
        if series is symbol.shortest and self.is_live:
            self._meter.add_trades(series.key, candle.trade_count - before)
        if series.audience:
            self._give(series, record.recv_ms, candle)

    def _give(self, series: Series, recv_ms: int, candle: Candle) -> None:
        audience: Audience = series.audience
        self.queued += len(audience)
        head = self.head(series)
        update = update_of(series, head, recv_ms, candle)
        if update.seq is None or not any(client.is_behind for client in audience):
            audience.give(update)
            return
        # A position says that all before it was sent, and those who are behind lack something.
        untold = update_of(series, head, recv_ms, candle, told=False)
        for client in audience:
            client.give(untold if client.is_behind else update)

    def _new_symbol(self, market: Market) -> Symbol:
        self.names.add(market[2])
        symbol = self._symbols[market] = Symbol(market)
        self._places.add(market[:2])
        return symbol

    def _new_series(self, symbol: Symbol, interval: Interval, partition: int) -> Series:
        key = Key(*symbol.market, interval)
        series = Series(key, partition=partition, audience=Audience(self._turn))
        self.history.series[key] = series
        self._by_interval[interval][key[:2]][key.symbol] = series
        symbol.series[interval.length_ms, interval.anchor] = series
        if symbol.shortest is None or interval < symbol.shortest.key.interval:
            symbol.shortest = series
        self._meter.add_series(key)
        self._begun(series)
        return series


def _interval(series: Series) -> Interval:
    return series.key.interval
