"""Who gets what: candles come in, and go to the outbox of every client that asked for them.

No I/O and no clock. A client sees the revisions in the order in which the history took them in,
and its snapshots out of that same history, so for no candle it ever sees the version go back.
A client whose history has yet to be read is no part of a series' audience until it is there: what
comes meanwhile is in memory, or kept by its ``Load``, and is in the snapshot.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches

from schemas.intervals import Interval
from schemas.wanted import WantedIntervals
from sinks.gateway import metrics, protocol
from sinks.gateway.candles import Candle, Record
from sinks.gateway.clients import Client, Symbol
from sinks.gateway.gaps import Gaps, Market
from sinks.gateway.history import History, Series
from sinks.gateway.loads import Begin, Load
from sinks.gateway.meter import Meter
from sinks.gateway.outbox import Outbox, update_of
from sinks.gateway.protocol import Answer, DataStatus, Key, Refused, Wanted

CLIENTS_MAX = 5_000
TOO_SLOW = "too slow: more waits to be sent than the gateway keeps for one client"


class Hub:
    """All clients and all series."""

    def __init__(
        self, history: History, intervals: Iterable[Interval], begin: Begin | None = None
    ) -> None:
        self.history = history
        self.gaps = Gaps()
        self.meter = Meter()
        self.clients: set[Client] = set()
        self.is_live = False
        """False while the past is read: it counts for no rate and no latency."""
        self.begin = begin
        """None: there is no warehouse, and memory is all there is."""
        self._told = frozenset(intervals)
        self._seen: set[Interval] = set()  # others than we may know more
        self._removed: frozenset[Interval] = frozenset()
        self._subscribers: defaultdict[Key, set[Client]] = defaultdict(set)  # by key as asked
        self._symbols: dict[Market, Symbol] = {}
        self._heads: dict[tuple[str, str], str] = {}
        self._queued = 0  # rows, since the last tick
        self._loads: defaultdict[Key, set[Load]] = defaultdict(set)  # by series

    @property
    def intervals(self) -> list[Interval]:
        """Return those that are made here, shortest first."""
        return sorted((self._told | self._seen) - self._removed)

    def want(self, wanted: WantedIntervals) -> None:
        """Learn what is made from now on; subscriptions to what is removed end."""
        self._told, self._removed = frozenset(wanted.made), wanted.removed
        for client in [client for client in self.clients if client.keys]:
            keys = sorted(key for key in client.keys if key.interval in self._removed)
            for key in keys:
                self._release(client, key)
            if keys:
                client.tell(protocol.unsubscribed_text(keys, reason=_removal(keys)))

    def connect(
        self,
        notify: Callable[[], None],
        outbox: Outbox | None = None,
        *,
        wants_stats: bool = True,
    ) -> Client:
        """Admit a client; raise Refused when there are too many."""
        if len(self.clients) >= CLIENTS_MAX:
            raise Refused(f"{CLIENTS_MAX} clients are connected already", "Come back later.")
        client = Client(notify, outbox or Outbox(), wants_stats=wants_stats)
        self.clients.add(client)
        metrics.CLIENTS.set(len(self.clients))
        return client

    def disconnect(self, client: Client) -> None:
        """Forget a client; twice is as good as once."""
        self.clients.discard(client)
        for key in list(client.keys):
            self._release(client, key)
        metrics.CLIENTS.set(len(self.clients))

    def accept(self, record: Record, now_ms: int) -> None:
        """Take candles in and queue what is news for those who asked for it."""
        if not record.rows:
            return
        market = (record.exchange, record.channel, record.rows[0].symbol)
        symbol = self._symbols.get(market) or self._new_symbol(market)
        if symbol.grows_by(record):
            self._grow(symbol, record)
        else:
            symbol.refresh()
            self._take(symbol, record)
        if self.is_live and not record.rows[-1].closed:
            self.meter.add_latency(now_ms - record.recv_ms)

    def _take(self, symbol: Symbol, record: Record) -> None:
        """Take every row in, each by its own revision."""
        found, news = [], 0
        for at, row in enumerate(record.rows):
            series = symbol.series.get((row.interval, row.anchor)) or self._new_series(
                symbol, Interval(row.interval, row.anchor), record.partition
            )
            found.append(series)
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
            self.meter.add_trades(series.key, candle.trade_count - before)
        if series.audience:
            self._give(series, record.recv_ms, candle)

    def take_gaps(self, value: bytes) -> None:
        """Take a record of gaps, and tell whom it concerns; raise Poison."""
        for market in self.gaps.take(value):
            told: defaultdict[Client, list[Key]] = defaultdict(list)
            symbol = self._symbols.get(market)
            for series in symbol.series.values() if symbol and self.is_live else ():
                for client in series.audience:
                    told[client].append(series.key)
            status = self.gaps.status(market)
            for client, keys in told.items():
                client.tell(protocol.status_text(sorted(keys), status))

    def tick(self, now_ms: int, *, is_silent: bool = False) -> None:
        """Once a second: tell the clients the rates, and whether the source is silent."""
        for latency_ms in self.meter.some_latencies():
            metrics.DELAY.observe(max(latency_ms, 0) / 1_000)
        figures = self.meter.tick()
        text = protocol.stats_text(
            {
                **figures,
                "clients": len(self.clients),
                "kafka": "away" if is_silent else "up",
                "time_ms": now_ms,
            }
        )
        for client in self.clients:
            if client.wants_stats:
                client.tell_stats(text)
        metrics.SERIES.set(len(self.history.series))
        metrics.QUEUED.inc(self._queued)
        self._queued = 0
        metrics.HISTORY.set(self.history.bytes)

    def handle(self, client: Client, message: protocol.Message, now_ms: int) -> None:
        """Obey one message; raise Refused."""
        match message:
            case protocol.Subscribe():
                self._subscribe(client, [w for s in message.subscriptions for w in s.wanted()])
            case protocol.Unsubscribe():
                keys = [
                    key
                    for key in sorted(client.keys)
                    if any(selection.means(key) for selection in message.subscriptions)
                ]
                for key in keys:
                    self._release(client, key)
                client.tell(protocol.unsubscribed_text(keys))
            case protocol.Ping():
                client.tell(protocol.pong_text(now_ms))

    def finish(self, load: Load, stored: Iterable[Candle], *, is_whole: bool) -> None:
        """Send the snapshot for which a history was read, and from then on every change."""
        if load.is_over:
            return
        client, series = load.client, load.series
        if series is not None:
            self._symbols[series.key[:3]].refresh()
        candles = load.snapshot(stored)
        self._end(load)
        status = self._status(load.wanted.key, is_whole=is_whole and not load.is_lossy)
        if series is not None:
            series.audience.add(client)
        self._send(client, load.wanted.key, series, candles, status)

    def _give(self, series: Series, recv_ms: int, candle: Candle) -> None:
        exchange, channel = series.key[:2]
        head = self._heads.get((exchange, channel)) or self._new_head(exchange, channel)
        update = update_of(series, head, recv_ms, candle)
        self._queued += len(series.audience)
        for client in [client for client in series.audience if not client.give(update)]:
            self._part_with(client)

    def _subscribe(self, client: Client, wanted: list[Wanted]) -> None:
        self._check(client, wanted)
        snapshots = [(w, self._series(w)) for w in wanted]
        ready = {
            (w, s): s.last(w.initial_candles)
            for w, found in snapshots
            for s in found
            if s is not None and self._has_all(s, w)
        }
        loads = [(w, s) for w, found in snapshots for s in found if (w, s) not in ready]
        asked = sum(map(len, ready.values())) + sum(w.initial_candles for w, _ in loads)
        asked += sum(load.wanted.initial_candles for load in client.loads.values())
        if asked > protocol.INITIAL_CANDLES_MAX:
            raise Refused(
                f"this asks for {asked} initial candles, "
                f"{protocol.INITIAL_CANDLES_MAX} are allowed in one message",
                "Ask for fewer initial_candles, or in several messages.",
            )
        begun = [self._load(client, w, series) for w, series in loads]
        for key in {w.key for w in wanted}:
            client.keys.add(key)
            self._subscribers[key].add(client)
            for series in self._matching(key):
                if series.key not in client.loads:
                    series.audience.add(client)
        client.tell(
            protocol.subscribed_text(self._answer(w, found, ready) for w, found in snapshots)
        )
        for (w, series), candles in ready.items():
            is_whole = self.history.has_all(series, w.initial_candles)
            status = self._status(series.key, is_whole=is_whole)
            self._send(client, series.key, series, candles, status)
        for load in begun:
            if self.begin is not None:
                self.begin(load)

    def _check(self, client: Client, wanted: Collection[Wanted]) -> None:
        removed = [w.key for w in wanted if w.key.interval in self._removed]
        if removed:
            raise Refused(_removal(removed), f"{self._made()}; POST /api/v1/intervals adds one.")
        keys = client.keys.union(w.key for w in wanted)
        if len(keys) > protocol.SUBSCRIPTIONS_PER_CLIENT_MAX:
            raise Refused(
                f"this would make {len(keys)} subscriptions, "
                f"{protocol.SUBSCRIPTIONS_PER_CLIENT_MAX} are allowed on one connection",
                'Subscribe with "symbol":"*", or share them out over several connections.',
            )

    def _has_all(self, series: Series, wanted: Wanted) -> bool:
        return self.begin is None or self.history.has_all(series, wanted.initial_candles)

    def _answer(
        self,
        wanted: Wanted,
        found: list[Series | None],
        ready: dict[tuple[Wanted, Series], list[Candle]],
    ) -> Answer:
        candles = [ready.get((wanted, series)) for series in found if series is not None]
        status = self._status(wanted.key)._replace(
            historical_loading=any((wanted, series) not in ready for series in found)
        )
        return Answer(
            wanted, sum(len(rows or ()) for rows in candles), self._advice(wanted.key), status
        )

    def _load(self, client: Client, wanted: Wanted, series: Series | None) -> Load:
        key = wanted.key if series is None else series.key
        if key in client.loads:
            self._end(client.loads[key])
        load = Load(client, wanted._replace(key=key), series)
        client.loads[key] = load
        self._loads[key].add(load)
        return load

    def _end(self, load: Load) -> None:
        load.end()
        key = load.wanted.key
        del load.client.loads[key]
        self._loads[key].discard(load)
        if not self._loads[key]:
            del self._loads[key]

    def _status(self, key: Key, *, is_whole: bool = True) -> DataStatus:
        status = self.gaps.status(key[:3])
        return status._replace(data_quality="partial") if not is_whole else status

    def _send(
        self,
        client: Client,
        key: Key,
        series: Series | None,
        candles: list[Candle],
        status: DataStatus,
    ) -> None:
        recv_ms = 0
        if series is not None:
            client.outbox.drop_open(series, candles)
            recv_ms = series.recv_ms
        rows = [candle.row for candle in candles]
        for text in protocol.snapshot_texts(key, recv_ms, rows, status):
            client.tell(text)

    def _series(self, wanted: Wanted) -> list[Series | None]:
        """Return the series that begin with a snapshot; None: one that memory does not have."""
        if not wanted.initial_candles:
            return []
        found = self.fresh(wanted.key)
        if found or self.begin is None or wanted.key.is_pattern or not self._is_made(wanted.key):
            return list(found)
        return [None]

    def fresh(self, key: Key) -> list[Series]:
        """Return the series that a key covers, with their newest rows in them."""
        found = self._matching(key)
        for series in found:
            self._symbols[series.key[:3]].refresh()
        return found

    def _matching(self, key: Key) -> list[Series]:
        if key.is_pattern:
            return [series for series in self.history.series.values() if key.covers(series.key)]
        series = self.history.series.get(key)
        return [series] if series else []

    def _is_made(self, key: Key) -> bool:
        return key.interval in self._told or key.interval in self._seen

    def _advice(self, key: Key) -> str | None:
        if self._matching(key):
            return None
        if not self._is_made(key):
            return f"no {key.interval.text} candles are made here; {self._made()}"
        symbols = {s.symbol for s in self.history.series}
        if key.symbol in symbols or key.symbol == protocol.ANY:
            return "no candle yet"
        near = get_close_matches(key.symbol.upper(), symbols, n=3)
        return f"no candle of {key.symbol} yet" + (f"; similar: {', '.join(near)}" if near else "")

    def _made(self) -> str:
        return f"made are {', '.join(interval.text for interval in self.intervals)}"

    def _release(self, client: Client, key: Key) -> None:
        client.keys.discard(key)
        self._subscribers[key].discard(client)
        if not self._subscribers[key]:
            del self._subscribers[key]
        for series in self._matching(key):
            if client.keys.isdisjoint(series.key.covering()):
                series.audience.discard(client)
        for load in [load for load in client.loads.values() if key.covers(load.wanted.key)]:
            if client.keys.isdisjoint(load.wanted.key.covering()):
                self._end(load)

    def _new_symbol(self, market: Market) -> Symbol:
        symbol = self._symbols[market] = Symbol(market)
        return symbol

    def _new_head(self, exchange: str, channel: str) -> str:
        head = self._heads[exchange, channel] = protocol.market_head(exchange, channel)
        return head

    def _new_series(self, symbol: Symbol, interval: Interval, partition: int) -> Series:
        key = Key(*symbol.market, interval)
        series = self.history.series[key] = Series(key, partition=partition)
        symbol.series[interval.length_ms, interval.anchor] = series
        if symbol.shortest is None or interval < symbol.shortest.key.interval:
            symbol.shortest = series
        loads = self._loads.get(key, ())
        for load in loads:
            load.attach(series)
        waiting = {load.client for load in loads}
        covering = [self._subscribers.get(k, set()) for k in key.covering()]
        series.audience = set().union(*covering) - waiting
        self._seen.add(interval)
        self.meter.add_series(key)
        return series

    def _part_with(self, client: Client) -> None:
        metrics.DROPPED.labels("slow").inc()
        self.disconnect(client)
        client.drop(TOO_SLOW)


def _removal(keys: Iterable[Key]) -> str:
    texts = dict.fromkeys(key.interval.text for key in keys)
    return f"{', '.join(texts)} candles are made no more: the interval was removed"
