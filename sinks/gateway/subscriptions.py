"""Who asked for which candles: how a subscription begins, goes on from a position, and ends.

A client whose history has yet to be read is no part of a series' audience until it is there: what
comes meanwhile is in memory, or kept by its ``Load``, and is in the snapshot.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from schemas.intervals import Interval
from sinks.gateway import envelopes, protocol
from sinks.gateway.candles import Candle
from sinks.gateway.clients import Client
from sinks.gateway.gaps import Gaps
from sinks.gateway.history import Series
from sinks.gateway.loads import Begin, Load
from sinks.gateway.made import Made
from sinks.gateway.markets import Markets
from sinks.gateway.outbox import update_of
from sinks.gateway.protocol import Answer, DataStatus, Key, Refused, Wanted

DEMANDED_PER_CLIENT_MAX = 4  # intervals

Demand = Callable[[Interval], str | None]
"""Asks that an interval be made; returns why it will not be."""


class Start(NamedTuple):
    """How one subscription begins for one series; None: a series that memory does not have."""

    wanted: Wanted
    series: Series | None
    candles: list[Candle] | None
    """None: they have to be read from the warehouse."""
    is_resumed: bool = False
    """They are not a snapshot, but what the client has missed."""


class Subscriptions:
    """The candles that the clients get."""

    def __init__(self, markets: Markets, gaps: Gaps, made: Made) -> None:
        self.begin: Begin | None = None
        """None: there is no warehouse, and memory is all there is."""
        self.demand: Demand | None = None
        """None: what is not made here is not made for anybody."""
        self.lists: Callable[[Key], bool] | None = None
        """Says whether there is a symbol, also of which there is no candle yet."""
        self._markets = markets
        self._history = markets.history
        self._gaps = gaps
        self._made = made
        self._subscribers: defaultdict[Key, set[Client]] = defaultdict(set)  # by key as asked
        self._loads: defaultdict[Key, set[Load]] = defaultdict(set)  # by series
        self._due: list[Load] = []  # of series that have just begun

    @property
    def intervals(self) -> set[Interval]:
        """Return those of which anybody wants candles of a symbol that there is."""
        found: set[Interval] = set()
        for key in self._subscribers:
            if key.interval not in found and self._is_symbol(key):
                found.add(key.interval)
        return found

    def plan(self, client: Client, wanted: Collection[Wanted]) -> list[Start]:
        """Return how these begin; raise Refused, and nothing has changed."""
        removed = [w.key for w in wanted if w.key.interval in self._made.removed]
        if removed:
            raise Refused(removal(removed), f"{self._made}; POST /api/v1/intervals adds one.")
        self._check_demanded(client, wanted)
        starts = [start for w in dict.fromkeys(wanted) for start in self._starts(w)]
        asked = sum(
            start.wanted.initial_candles if start.candles is None else len(start.candles)
            for start in starts
        )
        asked += sum(load.wanted.initial_candles for load in client.loads.values())
        if asked > protocol.INITIAL_CANDLES_MAX:
            raise Refused(
                f"this asks for {asked} initial candles, "
                f"{protocol.INITIAL_CANDLES_MAX} are allowed in one message",
                "Ask for fewer initial_candles, without from_seq, or in several messages.",
            )
        return starts

    def subscribe(
        self, client: Client, wanted: Collection[Wanted], starts: Collection[Start]
    ) -> tuple[list[Answer], list[Start]]:
        """Note what a client wants; return what it is told, and what to ``start`` then."""
        refused = self._refusals(client, {w.key for w in wanted})
        starts = [
            each for each in starts if each.candles is not None or not refused.get(each.wanted.key)
        ]
        for each in starts:
            if each.candles is None:
                self._load(client, each)
        self._judge(client)
        for key in {w.key for w in wanted}:
            matching = self._markets.matching(key)
            client.keys[key if key.is_pattern or not matching else matching[0].key] = None  # shared
            self._subscribers[key].add(client)
            for series in matching:
                if series.key not in client.loads:
                    series.audience.add(client)
        return self._answers(client, wanted, starts, refused), starts

    def start(self, client: Client, starts: Iterable[Start]) -> None:
        """Send what a subscription begins with, and have the rest read."""
        snapshots = {(s.wanted, s.series): s.candles for s in starts if not s.is_resumed}
        missed = {s.series: s.candles or [] for s in starts if s.is_resumed and s.series}
        ready = [(w, s, c) for (w, s), c in snapshots.items() if s is not None and c is not None]
        for at, (wanted, series, candles) in enumerate(ready, 1):
            is_whole = self._history.has_all(series, wanted.initial_candles)
            status = self._status(series.key, is_whole=is_whole)
            is_last = at == len(ready) and not missed
            self._send(client, series.key, series, candles, status, is_last=is_last)
        self._resume(client, missed)
        # Others wait for the first candle of an interval that was asked for before.
        its = {s.wanted.key if s.series is None else s.series.key for s in starts}
        for load in [client.loads[key] for key in its if key in client.loads]:
            if not load.is_begun and load.wanted.key.interval in self._made:
                self._begin(load)

    def finish(self, load: Load, stored: Iterable[Candle], *, is_whole: bool) -> None:
        """Send the snapshot for which a history was read, and from then on every change."""
        if load.is_over:
            return
        client, series = load.client, load.series
        if series is not None:
            self._markets.refresh(series.key[:3])
        candles = load.snapshot(stored)
        self._end(load)
        status = self._status(load.wanted.key, is_whole=is_whole and not load.is_lossy)
        if series is not None:
            series.audience.add(client)
        self._send(client, load.wanted.key, series, candles, status, is_last=True)

    def begun(self, series: Series) -> None:
        """Learn of a new series; who waits for it does not hear of it before the snapshot."""
        if self._made.is_late(series.key.interval):
            series.is_late = True
            series.beyond = self._history.position(series.partition) + 1
        loads = self._loads.get(series.key, ())
        for load in loads:
            load.attach(series)
            if not load.is_begun:
                self._due.append(load)
        waiting = {load.client for load in loads}
        for key in series.key.covering():
            for client in self._subscribers.get(key, set()) - waiting:
                series.audience.add(client)
        self._made.see(series.key.interval)
        for client in waiting:
            self._judge(client)

    def settle(self) -> None:
        """Have the histories read of series that have just begun, now that they have a row."""
        while self._due:
            self._begin(self._due.pop())

    def release(self, client: Client, keys: Collection[Key]) -> None:
        """End subscriptions."""
        for key in keys:
            client.keys.pop(key, None)
            self._subscribers[key].discard(client)
            if not self._subscribers[key]:
                del self._subscribers[key]
            for series in self._markets.matching(key):
                if client.keys.keys().isdisjoint(series.key.covering()):
                    series.audience.discard(client)
            for load in [load for load in client.loads.values() if key.covers(load.wanted.key)]:
                if client.keys.keys().isdisjoint(load.wanted.key.covering()):
                    self._end(load)

    def _starts(self, wanted: Wanted) -> list[Start]:
        found = self._markets.fresh(wanted.key)
        if found:
            starts = (self._start(wanted, series) for series in found)
            return [start for start in starts if start is not None]
        is_made = wanted.key.interval in self._made
        is_loaded = self.begin is not None if is_made else self.demand is not None
        if not is_loaded or wanted.key.is_pattern or not wanted.initial_candles:
            return []
        if is_made and self._is_known(wanted):
            return []
        return [Start(wanted, None, None)]

    def _start(self, wanted: Wanted, series: Series) -> Start | None:
        if wanted.from_seq is not None:
            position = dict(wanted.from_seq).get(series.partition)
            missed = None if position is None else self._history.after(series, position)
            if missed is not None:
                return Start(wanted, series, missed, is_resumed=True)
        elif not wanted.initial_candles:
            return None
        has_all = self.begin is None or self._history.has_all(series, wanted.initial_candles)
        return Start(wanted, series, series.last(wanted.initial_candles) if has_all else None)

    def _is_known(self, wanted: Wanted) -> bool:
        """Say whether a client with a position cannot have missed the first candle of a series."""
        if self._made.is_late(wanted.key.interval):
            return False
        told, since = dict(wanted.from_seq or ()), self._history.since
        return bool(told) and all(p in told and since[p] <= told[p] + 1 for p in since)

    def _resume(self, client: Client, missed: dict[Series, list[Candle]]) -> None:
        """Give what was closed or corrected meanwhile in the order of the topic, then what is open.

        The order is over all series: a position says that everything before it was sent.
        """
        closed = [(candle.offset, series.partition, series, candle)
                  for series, candles in missed.items() for candle in candles]  # fmt: skip
        for _, _, series, candle in sorted(closed, key=lambda each: each[:2]):
            self._give(client, series, candle)
        for series in missed:
            for candle in [each for each in series.candles.values() if not each.closed]:
                self._give(client, series, candle)

    def _give(self, client: Client, series: Series, candle: Candle) -> None:
        head = self._markets.head(series)
        told = not client.is_behind
        client.give(update_of(series, head, series.recv_ms, candle, told=told))

    def _answers(
        self,
        client: Client,
        wanted: Collection[Wanted],
        starts: Iterable[Start],
        refused: Mapping[Key, str | None],
    ) -> list[Answer]:
        its: defaultdict[Wanted, list[Start]] = defaultdict(list)
        for start in starts:
            its[start.wanted].append(start)
        return [
            Answer(
                w,
                sum(len(start.candles or ()) for start in its[w]),
                hint,
                self._status(w.key)._replace(
                    historical_loading=any(start.candles is None for start in its[w])
                ),
            )
            for w, hint in zip(wanted, self._hints(client, wanted, refused), strict=True)
        ]

    def _hints(
        self, client: Client, wanted: Iterable[Wanted], refused: Mapping[Key, str | None]
    ) -> Iterator[str | None]:
        for key in (w.key for w in wanted):
            if self._markets.matching(key):
                yield None
            elif key in refused:
                being_made = f"{key.interval.text} candles are being made from now on"
                yield refused[key] or being_made
            else:
                yield self._advice(client, key.symbol)

    def _advice(self, client: Client, symbol: str) -> str:
        names = self._markets.names
        if symbol == protocol.ANY or symbol in names or not client.may_look():
            return "no candle yet"
        near = get_close_matches(symbol.upper(), names, n=3)
        return f"no candle of {symbol} yet" + (f"; similar: {', '.join(near)}" if near else "")

    def _check_demanded(self, client: Client, wanted: Iterable[Wanted]) -> None:
        """Raise Refused where one client asks for more of what nobody makes than is its share."""
        if self.demand is None:
            return
        # One that it gave up counts as long as it is made: else one client has them all in turn.
        kept = {i for i in client.demanded if i in self._made}
        kept |= client.demanded & {key.interval for key in client.keys}
        asked = kept | ({w.key.interval for w in wanted} - self._made.all)
        if len(asked) > DEMANDED_PER_CLIENT_MAX:
            raise Refused(
                f"this would make {len(asked)} intervals on demand, "
                f"{DEMANDED_PER_CLIENT_MAX} are allowed on one connection",
                f"{self._made}; POST /api/v1/intervals adds one for good.",
            )
        client.demanded = frozenset(kept)

    def _refusals(self, client: Client, keys: Iterable[Key]) -> dict[Key, str | None]:
        """Have intervals made that nobody makes; return why they will not be, by key."""
        refused: dict[Key, str | None] = {}
        for key in [key for key in keys if key.interval not in self._made]:
            if self.demand is None:
                refused[key] = f"no {key.interval.text} candles are made here; {self._made}"
                continue
            client.demanded |= {key.interval}
            if self._is_symbol(key):
                refused[key] = self.demand(key.interval)
            else:
                near = self._advice(client, key.symbol)
                refused[key] = f"no {key.interval.text} candles are made for a name unknown: {near}"
        return refused

    def _is_symbol(self, key: Key) -> bool:
        """Say whether a key means any symbol that there is."""
        return self._markets.knows(key) or (self.lists is not None and self.lists(key))

    def _load(self, client: Client, start: Start) -> None:
        wanted, series = start.wanted, start.series
        key = wanted.key if series is None else series.key
        if key in client.loads:
            self._end(client.loads[key])
        load = Load(client, wanted._replace(key=key), series)
        client.loads[key] = load
        self._loads[key].add(load)

    def _begin(self, load: Load) -> None:
        load.is_begun = True
        if self.begin is None:
            self.finish(load, (), is_whole=True)
        else:
            self.begin(load)

    def _end(self, load: Load) -> None:
        load.end()
        key = load.wanted.key
        del load.client.loads[key]
        self._loads[key].discard(load)
        if not self._loads[key]:
            del self._loads[key]
        self._judge(load.client)

    def _judge(self, client: Client) -> None:
        """Note whether something that exists has yet to begin."""
        client.is_behind = any(key.interval in self._made for key in client.loads)

    def _status(self, key: Key, *, is_whole: bool = True) -> DataStatus:
        status = self._gaps.status(key[:3])
        return status._replace(data_quality="partial") if not is_whole else status

    def _send(
        self,
        client: Client,
        key: Key,
        series: Series | None,
        candles: list[Candle],
        status: DataStatus,
        *,
        is_last: bool,
    ) -> None:
        recv_ms = 0 if series is None else series.recv_ms
        rows = [candle.row for candle in candles]
        seq = self._history.positions() if is_last and not client.is_behind else None
        for text in envelopes.snapshot_texts(key, recv_ms, rows, status, seq):
            client.tell(text)


def removal(keys: Iterable[Key]) -> str:
    """Return why subscriptions to candles of removed intervals end."""
    texts = dict.fromkeys(key.interval.text for key in keys)
    return f"{', '.join(texts)} candles are made no more: the interval was removed"


def displacement(keys: Iterable[Key]) -> str:
    """Return why subscriptions to candles end that nobody has removed."""
    texts = dict.fromkeys(key.interval.text for key in keys)
    return (
        f"{', '.join(texts)} candles are made no more: they were on demand, and their time or "
        "their room is over; subscribe again to have them made"
    )
