"""Who gets what: candles come in, and go to the outbox of every client that asked for them.

No I/O and no clock. A client sees the revisions in the order in which the history took them in,
and its snapshots out of that same history, so for no candle it ever sees the version go back.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from difflib import get_close_matches

from schemas.intervals import Interval
from schemas.wanted import WantedIntervals
from sinks.gateway import metrics, protocol
from sinks.gateway.candles import Candle, Record
from sinks.gateway.history import History, Series
from sinks.gateway.meter import Meter
from sinks.gateway.outbox import Outbox
from sinks.gateway.protocol import Key, Refused, Wanted

CLIENTS_MAX = 5_000
TOO_SLOW = "too slow: more waits to be sent than the gateway keeps for one client"


class Client:
    """One connection; ``notify`` is called when there is something to send or it is dropped."""

    def __init__(self, notify: Callable[[], None], outbox: Outbox, *, wants_stats: bool) -> None:
        self.outbox = outbox
        self.wants_stats = wants_stats
        self.keys: set[Key] = set()
        self.dropped: str | None = None
        self._notify = notify

    def tell(self, text: str) -> None:
        """Queue a whole message."""
        self.outbox.put_text(text)
        self._notify()

    def tell_stats(self, text: str) -> None:
        """Queue the statistics in the place of older ones."""
        self.outbox.put_stats(text)
        self._notify()

    def give(self, key: Key, head: str, candle: Candle) -> bool:
        """Queue a candle; return False when the client is too slow to get any more."""
        self.outbox.put_candle(key, head, candle)
        self._notify()
        return not self.outbox.is_full

    def drop(self, reason: str) -> None:
        """Part with the client: nothing more is kept for it."""
        self.dropped = reason
        self.outbox.clear()
        self._notify()


class Hub:
    """All clients and all series."""

    def __init__(self, history: History, intervals: Iterable[Interval]) -> None:
        self.history = history
        self.meter = Meter()
        self.clients: set[Client] = set()
        self.is_live = False
        """False while the past is read: it counts for no rate and no latency."""
        self._told = frozenset(intervals)
        self._seen: set[Interval] = set()  # others than we may know more
        self._removed: frozenset[Interval] = frozenset()
        self._subscribers: defaultdict[Key, set[Client]] = defaultdict(set)  # by key as asked
        self._audience: dict[Key, set[Client]] = {}  # by series

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
        if self.is_live and not all(candle.closed for _, candle in record.candles):
            self.meter.add_latency(now_ms - record.recv_ms)
            metrics.DELAY.observe(max(now_ms - record.recv_ms, 0) / 1_000)
        for key, candle in record.candles:
            series = self.history.series.get(key) or self._new_series(key)
            known = series.candles.get(candle.timestamp)
            if not self.history.put(series, candle):
                metrics.STALE.inc()
                continue
            series.recv_ms = max(series.recv_ms, record.recv_ms)
            if self.is_live:
                before = known.trade_count if known else 0
                self.meter.add_trades(key, candle.trade_count - before)
            audience = self._audience[key]
            if not audience:
                continue
            metrics.QUEUED.inc(len(audience))
            slow = [c for c in audience if not c.give(key, record.head, candle)]
            for client in slow:
                self._part_with(client)

    def tick(self, now_ms: int, *, is_silent: bool = False) -> None:
        """Once a second: tell the clients the rates, and whether the source is silent."""
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

    def _subscribe(self, client: Client, wanted: list[Wanted]) -> None:
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
        snapshots = [(w, [(s, s.last(w.initial_candles)) for s in self._series(w)]) for w in wanted]
        candles = sum(len(rows) for _, found in snapshots for _, rows in found)
        if candles > protocol.INITIAL_CANDLES_MAX:
            raise Refused(
                f"this asks for {candles} initial candles, "
                f"{protocol.INITIAL_CANDLES_MAX} are allowed in one message",
                "Ask for fewer initial_candles, or in several messages.",
            )
        for key in {w.key for w in wanted}:
            client.keys.add(key)
            self._subscribers[key].add(client)
            for series in self._matching(key):
                self._audience[series.key].add(client)
        client.tell(
            protocol.subscribed_text(
                [
                    (w, sum(len(rows) for _, rows in found), self._advice(w.key, found))
                    for w, found in snapshots
                ]
            )
        )
        self._send(client, [item for _, found in snapshots for item in found])

    def _send(self, client: Client, snapshots: list[tuple[Series, list[Candle]]]) -> None:
        for series, candles in snapshots:
            client.outbox.drop_open(series.key, candles)
            head = protocol.klines_head(*series.key[:2], series.recv_ms, snapshot=True)
            client.tell(protocol.klines_text(head, [candle.row for candle in candles]))

    def _series(self, wanted: Wanted) -> list[Series]:
        return self._matching(wanted.key) if wanted.initial_candles else []

    def _matching(self, key: Key) -> list[Series]:
        if key.is_pattern:
            return [series for series in self.history.series.values() if key.covers(series.key)]
        series = self.history.series.get(key)
        return [series] if series else []

    def _advice(self, key: Key, found: list[tuple[Series, list[Candle]]]) -> str | None:
        if found or self._matching(key):
            return None
        if key.interval not in self._told | self._seen:
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
                self._audience[series.key].discard(client)

    def _new_series(self, key: Key) -> Series:
        series = self.history.series[key] = Series(key)
        covering = [self._subscribers.get(k, set()) for k in key.covering()]
        self._audience[key] = set().union(*covering)
        self._seen.add(key.interval)
        self.meter.add_series(key)
        return series

    def _part_with(self, client: Client) -> None:
        metrics.DROPPED.labels("slow").inc()
        self.disconnect(client)
        client.drop(TOO_SLOW)


def _removal(keys: Iterable[Key]) -> str:
    texts = dict.fromkeys(key.interval.text for key in keys)
    return f"{', '.join(texts)} candles are made no more: the interval was removed"
