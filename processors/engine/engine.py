"""Engine: the candles of every symbol a worker owns, by partition.

The caller says what time it is and which partitions are caught up; the engine says what to publish.
Nothing it publishes depends on when it was asked, but for how often.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import orjson

from processors.changelog import is_slot
from processors.engine import publish
from processors.engine.feed import Batch, Feed
from processors.engine.lists import apply_lists
from processors.engine.publish import OUTPUTS
from processors.engine.runs import parts_of
from processors.engine.state import load, records
from processors.engine.symbol import SymbolCandles
from processors.engine.windows import CORRECTION_MS
from processors.fold import Output, Partitions, UnknownState, taken
from schemas.bars import BarSize
from schemas.intervals import MINUTE_MS, SECOND_MS, Interval, parse_interval
from schemas.packed import Columns, Lists, lists_of
from schemas.rules import VENUE_RULES, CandleRule, EmptyCandles, candle_rule
from schemas.topics import TRADES, Topic
from schemas.trades import PackedBatch, SymbolTrades, TradeBatch, decode_any_batch

CLOSED_MAX = 2_000  # candles of a tick: the rest waits for the next one, 5 ms later
LAGGING_LIVE_FACTOR = 8  # while catching up an open candle is stale anyway: send fewer


class Engine:
    """The fold of trades into candles; see the module for what it promises."""

    name = "klines"
    reads: tuple[Topic, ...] = (TRADES,)
    writes: tuple[Topic, ...] = OUTPUTS

    def __init__(
        self,
        intervals: Iterable[Interval],
        *,
        grace_ms: int,
        live_every_ms: int,
        closes_quiet: bool,
        empty: EmptyCandles = "venue",
        rules: Mapping[str, CandleRule] = VENUE_RULES,
        bars: Sequence[BarSize] = (),
    ) -> None:
        self._wanted = tuple(sorted(intervals))
        self._intervals: dict[int, tuple[Interval, ...]] = {}  # of each partition: what it has
        self._empty = empty
        self._rules = rules
        self._bars = bars
        self._grace_ms = grace_ms
        self._live_every_ms = live_every_ms
        self._closes_quiet = closes_quiet
        self._feeds: dict[int, dict[tuple[str, str], Feed]] = {}
        self._due: dict[SymbolCandles, None] = {}  # has something to publish
        self._fresh: dict[SymbolCandles, int] = {}  # open candles changed, with the partition
        self._dirty: dict[SymbolCandles, int] = {}  # changed since the last checkpoint
        self.trades = 0

    def apply(self, topic: Topic, partition: int, offset: int, value: bytes) -> None:  # noqa: ARG002
        """Fold one record of the trades topic; raise UnreadableBatch."""
        batch = decode_any_batch(value)
        if not isinstance(batch, PackedBatch):
            self.apply_batch(partition, offset, batch)
        elif batch.ts.__class__ is list:
            self._apply_lists(partition, offset, lists_of(batch))
        else:
            self._apply_columns(partition, offset, Columns(batch))

    def apply_batch(self, partition: int, offset: int, batch: TradeBatch) -> None:
        """Fold one record. Symbols that already hold this offset skip it."""
        feed = self._feed(partition, batch)
        self._apply_groups(feed, partition, offset, batch, batch.symbols)
        feed.observe(batch, batch.symbols[0].ts[-1])

    def _apply_groups(
        self, feed: Feed, partition: int, offset: int, batch: Batch, groups: list[SymbolTrades]
    ) -> None:
        recv_ms = batch.recv_ns // 1_000_000
        for group in groups:
            candles = feed.symbols.get(group.symbol)
            if candles is None:
                candles = feed.symbols[group.symbol] = self._begin(partition, batch, group)
            elif offset <= candles.offset:
                continue
            candles.apply(group, offset, batch.source)
            self._took(candles, partition, recv_ms, len(group.id))

    def _apply_lists(self, partition: int, offset: int, lists: Lists) -> None:
        """Fold one packed record of few trades."""
        batch = lists.batch
        feed = self._feed(partition, batch)
        taken, rest = apply_lists(feed.symbols, lists, offset)
        grace_ms = self._grace_ms
        for candles in taken:
            if candles.next_close_ms <= candles.watermark_ms - grace_ms:
                self._close(candles)
        changed = dict.fromkeys(taken, partition)
        self._fresh.update(changed)
        self._dirty.update(changed)
        self.trades += len(lists.ts) - sum(map(len, rest))
        self._apply_groups(feed, partition, offset, batch, rest)
        feed.observe(batch, batch.from_ms + lists.ts[batch.symbols[0].n - 1])

    def _apply_columns(self, partition: int, offset: int, columns: Columns) -> None:
        """Fold one packed record of many: what is in order by sums, the rest trade by trade."""
        is_short = any(interval.length_ms % MINUTE_MS for interval in self.has(partition))
        batch, parts = columns.batch, parts_of(columns, SECOND_MS if is_short else MINUTE_MS)
        feed = self._feed(partition, batch)
        recv_ms = batch.recv_ns // 1_000_000
        rest: list[SymbolTrades] = []
        for at, group in enumerate(batch.symbols):
            candles, own = feed.symbols.get(group.symbol), parts and parts[at]
            if candles is None or candles.offset < offset:
                if candles and own and candles.apply_run(group, own, offset, batch.source):
                    self._took(candles, partition, recv_ms, group.n)
                else:
                    rest.append(columns.trades(at))
        self._apply_groups(feed, partition, offset, batch, rest)
        feed.observe(batch, int(columns.ts[columns.starts[1] - 1]))

    def _took(self, candles: SymbolCandles, partition: int, recv_ms: int, trades: int) -> None:
        """Note trades that were just folded, and close what they have ended."""
        candles.recv_ms = recv_ms
        self._close(candles)
        self._fresh[candles] = self._dirty[candles] = partition
        self.trades += trades

    def _close(self, candles: SymbolCandles) -> None:
        """Close what the watermark has passed, and note what is due."""
        line_ms = candles.watermark_ms - self._grace_ms
        if line_ms >= candles.next_close_ms:
            candles.settle(line_ms)
        cuts = candles.cuts
        if candles.is_news or candles.gaps or candles.late or (cuts and cuts.touched):
            candles.tell_claims()
            candles.is_news = False
            self._due[candles] = None

    def tick(self, now_ms: int, caught_up: Collection[int]) -> None:
        """Close by the clock what no trade of its own has closed: see ``Feed.clock_ms``."""
        if not self._closes_quiet:
            return
        closed = 0
        for partition, feeds in self._feeds.items():
            for feed in feeds.values():
                clock_ms = feed.clock_ms(now_ms, is_caught_up=partition in caught_up)
                if not clock_ms:
                    continue
                line_ms = clock_ms - int(feed.skew_ms or 0) - self._grace_ms
                for candles in feed.symbols.values():
                    if candles.next_close_ms <= line_ms and closed < CLOSED_MAX:
                        closed += self._settle(candles, partition, line_ms)

    def _settle(self, candles: SymbolCandles, partition: int, line_ms: int) -> int:
        candles.settle(line_ms)
        candles.tell_claims()
        self._due[candles] = None
        self._dirty[candles] = partition
        return len(candles.touched)

    def outputs(self, now_ms: int, caught_up: Collection[int]) -> Iterator[Output]:
        """Yield what is due: closed candles and gaps at once, open candles throttled.

        Once it is exhausted nothing waits to be published but throttled open candles.
        """
        slow_ms = self._live_every_ms * LAGGING_LIVE_FACTOR
        sent = []
        for candles, partition in self._fresh.items():
            if candles.live_at_ms <= now_ms:
                every_ms = self._live_every_ms if partition in caught_up else slow_ms
                candles.live_at_ms = now_ms + every_ms
                sent.append(candles)
                yield from publish.live(candles)
                # Merging its second may have sealed a candle that the clock had closed.
                if candles.touched or candles.late:
                    self._due[candles] = None
        for candles in sent:
            del self._fresh[candles]
        for candles in self._due:
            yield from publish.due(candles)
        self._due.clear()

    def merge(self) -> None:
        """Merge what every symbol has gathered, so that all its corrections are due."""
        for candles in self._all():
            candles.merge()
            if candles.touched or candles.late:
                self._due[candles] = None

    def unclosed(self) -> Iterator[Output]:
        """Yield every open candle: at the end of a recording no update of it follows."""
        for candles in self._all():
            yield from publish.unclosed(candles)

    def final_ms(self) -> dict[bytes, int]:
        """Return by symbol key until when no candle that has ended can change any more."""
        return {
            candles.key: candles.watermark_ms - CORRECTION_MS
            for candles in self._all()
            if candles.watermark_ms  # else it has no candle yet
        }

    def count_duplicates(self) -> int:
        """Return how many trades of the symbols here were dropped by their id."""
        return sum(candles.duplicates for candles in self._all())

    def take_uncut_count(self) -> int:
        """Return how many trades came too late for their bar since the last call."""
        count = 0
        for cuts in (candles.cuts for candles in self._all()):
            if cuts is not None:
                count, cuts.uncut = count + cuts.uncut, 0
        return count

    def take_trade_count(self) -> int:
        """Return how many trades were folded since the last call."""
        count, self.trades = self.trades, 0
        return count

    def take_dirty(self, partitions: Partitions = None) -> list[tuple[int, bytes, bytes]]:
        """Return (partition, key, record) of every symbol changed since it was taken last.

        They are to be written in this order, all of them before the next call.
        """
        return [
            (partition, key, value)
            for candles, partition in taken(self._dirty, partitions).items()
            for key, value in records(candles)
        ]

    def restore(self, partition: int, states: Mapping[bytes, bytes]) -> None:
        """Take over a partition with the records of its symbols; raise UnknownState."""
        self.drop(partition)
        found = {key: value for key, value in states.items() if not is_slot(key)}
        has = self._intervals[partition] = self._stored(found.values())
        feeds = self._feeds.setdefault(partition, {})
        for key, value in found.items():
            candles = load(key, value, has, states, self._rule, self._bars)
            feed = feeds.setdefault((candles.exchange, candles.channel), Feed())
            feed.symbols[candles.symbol] = candles
            self._fresh[candles] = partition  # a price that was held back died with its worker

    def drop(self, partition: int) -> None:
        """Forget a partition that another worker owns now."""
        self._intervals.pop(partition, None)
        for feed in self._feeds.pop(partition, {}).values():
            for candles in feed.symbols.values():
                self._due.pop(candles, None)
                self._fresh.pop(candles, None)
                self._dirty.pop(candles, None)

    # -- intervals

    def want(self, intervals: Iterable[Interval]) -> None:
        """Go on with these intervals: what is not wanted ends, what is new waits for ``adopt``."""
        self._wanted = tuple(sorted(intervals))
        for partition, has in self._intervals.items():
            keep = tuple(interval for interval in has if interval in self._wanted)
            if not self.symbols(partition):
                keep = self._wanted  # no trade has come: nothing to be filled from history
            if keep != has:
                self._change(partition, keep, None, 0)

    def has(self, partition: int) -> tuple[Interval, ...]:
        """Return the intervals that a partition has."""
        return self._intervals.get(partition, self._wanted)

    def lacking(self, partition: int) -> tuple[Interval, ...]:
        """Return the wanted intervals that a partition does not have yet."""
        has = self.has(partition)
        return tuple(interval for interval in self._wanted if interval not in has)

    def event_ms(self, partition: int) -> int:
        """Return the time of the youngest trade of a partition; 0: none has come."""
        return max((c.watermark_ms for c in self.symbols(partition).values()), default=0)

    @property
    def wanted(self) -> tuple[Interval, ...]:
        """Return the intervals that are to be made."""
        return self._wanted

    def donor(self, intervals: Iterable[Interval]) -> "Engine":
        """Return an empty engine that makes other intervals by the same rules, for ``adopt``."""
        return Engine(
            intervals,
            grace_ms=self._grace_ms,
            live_every_ms=self._live_every_ms,
            closes_quiet=False,
            empty=self._empty,
            rules=self._rules,
        )

    def discard(self, since_ms: Mapping[Interval, int]) -> None:
        """Forget what waits to be published, but candles that opened since then."""
        for candles in self._all():
            candles.touched = [t for t in candles.touched if t[1].open_ms >= since_ms[t[0]]]
            candles.gaps, candles.late = [], None

    def adopt(
        self,
        partition: int,
        donor: "Engine",
        since_ms: Mapping[Interval, int],
        known_from_ms: int,
    ) -> None:
        """Take over the intervals of an engine that has folded the same records of a partition.

        It began in the middle of the topic: of windows that opened before ``known_from_ms`` it may
        not know all, and only those that opened at ``since_ms`` or later are its to tell.
        """
        donor.discard(since_ms)
        keep = self.has(partition)
        added = [i for i in donor.wanted if i in self._wanted and i not in keep]
        self._change(partition, tuple(sorted((*keep, *added))), donor, known_from_ms)

    def _change(
        self,
        partition: int,
        intervals: tuple[Interval, ...],
        donor: "Engine | None",
        known_from_ms: int,
    ) -> None:
        self._intervals[partition] = intervals
        given = donor.symbols(partition) if donor is not None else {}
        for key, candles in self.symbols(partition).items():
            candles.change_intervals(intervals, given.get(key), known_from_ms)
            self._dirty[candles] = partition
            if candles.touched:
                self._due[candles] = None

    def _stored(self, states: Collection[bytes]) -> tuple[Interval, ...]:
        """Return the wanted intervals that every state knows: a join may have been cut short."""
        known = set(self._wanted)
        for value in states:
            try:
                known &= {parse_interval(text) for text in orjson.loads(value)["bars"]}
            except (KeyError, TypeError, ValueError) as e:
                raise UnknownState(f"a state cannot be read: {e!r}") from e
        return tuple(sorted(known))

    # -- symbols

    def symbols(self, partition: int) -> dict[bytes, SymbolCandles]:
        """Return the symbols of a partition by their keys."""
        feeds = self._feeds.get(partition, {}).values()
        return {c.key: c for feed in feeds for c in feed.symbols.values()}

    def _feed(self, partition: int, batch: Batch) -> Feed:
        feeds = self._feeds.setdefault(partition, {})
        return feeds.setdefault((batch.exchange, batch.channel), Feed())

    def _begin(self, partition: int, batch: Batch, group: SymbolTrades) -> SymbolCandles:
        intervals = self._intervals.setdefault(partition, self._wanted)
        rule = self._rule(batch.exchange)
        return SymbolCandles(
            batch.exchange, batch.channel, group.symbol, intervals, group.ids, rule, self._bars
        )

    def _rule(self, exchange: str) -> CandleRule:
        return candle_rule(exchange, self._empty, self._rules)

    def _all(self) -> Iterator[SymbolCandles]:
        for feeds in self._feeds.values():
            for feed in feeds.values():
                yield from feed.symbols.values()
