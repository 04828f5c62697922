"""Who gets what: candles come in, and go to the outbox of every client that asked for them.

No I/O and no clock. A client sees the revisions in the order in which the history took them in,
and its snapshots out of that same history, so for no candle it ever sees the version go back.
What one turn of the loop brought is sent at its end, by ``flush``.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from schemas.intervals import Interval
from schemas.wanted import WantedIntervals
from sinks.gateway import envelopes, metrics, protocol
from sinks.gateway.candles import Candle, Record
from sinks.gateway.clients import Client, Turn
from sinks.gateway.gaps import Gaps
from sinks.gateway.history import History, Series
from sinks.gateway.kinds import Kinds
from sinks.gateway.loads import Begin, Load
from sinks.gateway.made import Made
from sinks.gateway.markets import Markets
from sinks.gateway.meter import Meter
from sinks.gateway.outbox import Outbox
from sinks.gateway.protocol import Key, KindKey, Refused, Subscribe
from sinks.gateway.subscriptions import Subscriptions, displacement, removal

CLIENTS_MAX = 10_000
WAITING_BYTES_MAX = 32 << 20  # of all clients together that do not keep up
TOO_SLOW = "too slow: more waits to be sent than the gateway keeps for one client"
BROKEN = "the gateway cannot write what waits for this client"
TOO_MUCH_WAITS = "too slow: more waits to be sent than the gateway keeps for all clients"


class Hub:
    """All clients and all series."""

    def __init__(
        self, history: History, intervals: Iterable[Interval], begin: Begin | None = None
    ) -> None:
        self.history = history
        self.gaps = Gaps()
        self.meter = Meter()
        self.clients: set[Client] = set()
        self.turn = Turn()
        self.kinds = Kinds(self.turn)
        self.sent = 0  # messages, since the last flush
        self.waiting_bytes = 0  # of all clients that do not keep up
        self._made = Made(intervals)
        self._markets = Markets(history, self.turn, self._begun, self.meter)
        self.subscriptions = Subscriptions(self._markets, self.gaps, self._made)
        self.subscriptions.begin = begin

    @property
    def intervals(self) -> list[Interval]:
        """Return those that are made here, shortest first."""
        return self._made.intervals

    @property
    def is_live(self) -> bool:
        """False while the past is read: it counts for no rate and no latency."""
        return self._markets.is_live

    @is_live.setter
    def is_live(self, value: bool) -> None:
        self._markets.is_live = value

    @property
    def begin(self) -> Begin | None:
        """Reads histories from the warehouse; None: there is none, and memory is all there is."""
        return self.subscriptions.begin

    @begin.setter
    def begin(self, begin: Begin | None) -> None:
        self.subscriptions.begin = begin

    def want(self, wanted: WantedIntervals) -> None:
        """Learn what is made from now on; subscriptions to what is made no more end.

        Of that memory keeps nothing: made again, it would have a hole that looks whole.
        """
        changed = self._made.want(wanted)
        removed = self._made.removed
        for client in [client for client in self.clients if client.keys]:
            self._end(client, {key for key in client.keys if key.interval in removed}, removal)
            ended = {key for key in client.keys if key.interval in changed.ended}
            self._end(client, ended, displacement)
        for interval in changed.ended | changed.again:
            self._markets.forget(interval)

    def is_late(self, interval: Interval) -> bool:
        """Say whether an interval was not always made."""
        return self._made.is_late(interval)

    def wanted_intervals(self) -> set[Interval]:
        """Return the intervals that anybody is subscribed to."""
        return self.subscriptions.intervals

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
        client = Client(notify, outbox or Outbox(), self.turn, wants_stats=wants_stats)
        self.clients.add(client)
        metrics.CLIENTS.set(len(self.clients))
        return client

    def disconnect(self, client: Client) -> None:
        """Forget a client; twice is as good as once."""
        self.clients.discard(client)
        self.subscriptions.release(client, list(client.keys))
        self.kinds.forget(client)
        self.waiting_bytes -= client.outbox.bytes
        client.outbox.clear()
        metrics.CLIENTS.set(len(self.clients))

    def accept(self, record: Record, now_ms: int) -> None:
        """Take candles in and queue what is news for those who asked for it."""
        if not record.rows:
            return
        self._markets.accept(record)
        self.subscriptions.settle()
        if self.is_live and not record.rows[-1].closed:
            self.meter.add_latency(now_ms - record.recv_ms)

    def take_gaps(self, value: bytes) -> None:
        """Take a record of gaps, and tell whom it concerns; raise Poison."""
        for market in self.gaps.take(value):
            told: defaultdict[Client, list[Key]] = defaultdict(list)
            for series in self._markets.of(market) if self.is_live else ():
                for client in series.audience:
                    told[client].append(series.key)
            status = self.gaps.status(market)
            for client, keys in told.items():
                client.tell(envelopes.status_text(sorted(keys), status))

    def tick(self, now_ms: int, *, is_silent: bool = False) -> None:
        """Once a second: tell the clients the rates, and whether the source is silent."""
        for latency_ms in self.meter.some_latencies():
            metrics.DELAY.observe(max(latency_ms, 0) / 1_000)
        figures = self.meter.tick()
        text = envelopes.stats_text(
            {
                **figures,
                "clients": len(self.clients),
                "kafka": "away" if is_silent else "up",
                "time_ms": now_ms,
            }
        )
        for client in self.clients:
            client.has_looked = False
            if client.wants_stats:
                client.tell_stats(text)
        self.kinds.tick()
        metrics.SERIES.set(len(self.history.series))
        metrics.QUEUED.inc(self._markets.queued)
        self._markets.queued = 0
        metrics.HISTORY.set(self.history.bytes)
        metrics.WAITING.set(self.waiting_bytes)

    def is_ahead(self, positions: Mapping[int, int]) -> bool:
        """Say whether more of a partition was seen, up to an offset, than was read here so far."""
        return any(self.history.position(p) < positions.get(p, -1) for p in self.history.since)

    def handle(self, client: Client, message: protocol.Message, now_ms: int) -> None:
        """Obey one message; raise Refused."""
        match message:
            case protocol.Subscribe():
                self._subscribe(client, message)
            case protocol.Unsubscribe():
                keys = message.meant(sorted(client.keys))
                self.subscriptions.release(client, keys)
                kinds = self.kinds.unsubscribe(client, message.kinds)
                client.tell(envelopes.unsubscribed_text([*keys, *kinds]))
            case protocol.Ping():
                client.tell(envelopes.pong_text(now_ms))

    def finish(self, load: Load, stored: Iterable[Candle], *, is_whole: bool) -> None:
        """Send the snapshot for which a history was read, and from then on every change."""
        self.subscriptions.finish(load, stored, is_whole=is_whole)

    def fresh(self, key: Key) -> list[Series]:
        """Return the series that a key covers, with their newest rows in them."""
        return self._markets.fresh(key)

    def flush(self) -> None:
        """Let what waits be sent, and part with those for whom too much cannot be."""
        clients = self.turn.end()
        try:
            while clients:
                self._send(clients.pop())
        finally:
            if clients:  # a bug that one of them ran into is not the others'
                self.turn.wake(clients)
        while self.waiting_bytes > WAITING_BYTES_MAX:
            slowest = max(self.clients, key=lambda client: client.outbox.bytes)
            self._part_with(slowest, "slow", TOO_MUCH_WAITS)
        metrics.SENT.inc(self.sent)
        self.sent = 0

    def _send(self, client: Client) -> None:
        if client not in self.clients:
            return
        outbox = client.outbox
        before = outbox.bytes
        try:
            client.notify()
        except Exception:
            self._part_with(client, "broken", BROKEN)
            raise
        outbox.settle()
        self.waiting_bytes += outbox.bytes - before
        if outbox.is_full:
            self._part_with(client, "slow", TOO_SLOW)

    def _subscribe(self, client: Client, message: Subscribe) -> None:
        wanted, kinds = message.wanted, message.kinds
        keys: set[Key | KindKey] = {
            *client.keys,
            *(w.key for w in wanted),
            *self.kinds.keys_of(client),
            *kinds,
        }
        number = len(keys)
        if number > protocol.SUBSCRIPTIONS_PER_CLIENT_MAX:
            raise Refused(
                f"this would make {number} subscriptions, "
                f"{protocol.SUBSCRIPTIONS_PER_CLIENT_MAX} are allowed on one connection",
                'Subscribe with "symbol":"*", or share them out over several connections.',
            )
        patterns = len({key[:3] for key in keys if key.is_pattern})
        if patterns > protocol.PATTERNS_PER_CLIENT_MAX:
            raise Refused(
                f'this would make {patterns} names with a "*", '
                f"{protocol.PATTERNS_PER_CLIENT_MAX} are allowed on one connection",
                'Subscribe with "exchange":"*", or name the symbols.',
            )
        planned = self.subscriptions.plan(client, wanted)
        answers, starts = self.subscriptions.subscribe(client, wanted, planned)
        answers_of_kinds = self.kinds.subscribe(client, kinds)
        seq = None if starts or client.is_behind or not wanted else self.history.positions()
        client.tell(envelopes.subscribed_text([*answers, *answers_of_kinds], seq))
        self.subscriptions.start(client, starts)
        self.kinds.begin(client, kinds)

    def _end(
        self, client: Client, keys: Iterable[Key], why: Callable[[Iterable[Key]], str]
    ) -> None:
        if its := sorted(keys):
            self.subscriptions.release(client, its)
            client.tell(envelopes.unsubscribed_text(its, reason=why(its)))

    def _begun(self, series: Series) -> None:
        self.subscriptions.begun(series)

    def _part_with(self, client: Client, sort: str, reason: str) -> None:
        metrics.DROPPED.labels(sort).inc()
        self.disconnect(client)
        client.drop(reason)
