"""Rules and events to crossings: no I/O, no clock. Its states are its memory of what it has told.

An event that is read again, after a crash or a restart, changes nothing: the state of each rule and
subject knows up to where it was judged. What is in ``changes`` must be stored before it is told.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import msgspec

from schemas.alerts import (
    AlertState,
    ConsumerLag,
    Crossing,
    DiskFree,
    GapOpen,
    MarketRule,
    PriceCrosses,
    PriceMoves,
    Rule,
    StreamSilent,
    Trigger,
    VolumeSpike,
)
from schemas.intervals import parse_interval
from schemas.klines import Kline, Price
from sinks.alerts.matching import matches
from sinks.alerts.tables import Judged, Market, OpenGaps, Streams
from sinks.alerts.triggers import Judgement, Outcome, step
from sinks.alerts.watches import Moves, Spikes, crosses

SUBJECTS_MAX = 20_000  # states of all rules together; more are not judged
GIB = 1 << 30

R = TypeVar("R", bound=Rule)

Key = tuple[str, str]
"""Rule and subject."""


class Machine:
    """Take rules and events; ``changes`` hands over what they changed."""

    def __init__(self) -> None:
        self.rules: dict[str, Rule] = {}
        self.states: dict[Key, AlertState] = {}
        self.gaps = OpenGaps()
        self.streams = Streams()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """By kind of rule: how many fired, cooled, and were left out."""
        self.waiting: dict[Key, None] = {}
        """The states that have something to tell, in the order in which they came to it."""
        self._moves: dict[Key, Moves] = {}
        self._spikes: dict[Key, Spikes] = {}
        self._prices: dict[Market, Price] = {}
        self._by_market: dict[tuple[type, Market], list[Any]] = {}
        self._changed: dict[Key, AlertState | None] = {}

    # -- rules

    def load(self, rules: Iterable[Rule], states: Iterable[AlertState]) -> None:
        """Begin with what was stored; states of rules that are other now are forgotten."""
        self.rules = {rule.id: rule for rule in rules}
        for state in states:
            rule, key = self.rules.get(state.rule), (state.rule, state.subject)
            if rule is not None and rule.changed_ms == state.version:
                self.states[key] = state
                if state.waiting:
                    self.waiting[key] = None
            else:
                self._changed[key] = None

    def put(self, rule: Rule) -> None:
        """Begin to judge by a rule; one that is changed begins anew."""
        if self.rules.get(rule.id) == rule:
            return
        self.drop(rule.id)
        self.rules[rule.id] = rule
        if isinstance(rule, PriceCrosses):  # on which side of its level it begins
            for market, price in self._prices.items():
                if rule.enabled and matches(rule, market):
                    self._take_price(rule, market, price)

    def drop(self, rule_id: str) -> None:
        """Forget a rule, and what it was about to tell."""
        self.rules.pop(rule_id, None)
        self._by_market.clear()
        for memories in (self._moves, self._spikes):
            for key in [key for key in memories if key[0] == rule_id]:
                memories.pop(key)
        for key in [key for key in self.states if key[0] == rule_id]:
            self._forget(key)

    def lookback_ms(self) -> int:
        """Return how much of the candles' past the rules need."""
        lengths = [
            2 * (rule.candles + 2) * parse_interval(rule.interval).length_ms
            for rule in self.rules.values()
            if isinstance(rule, VolumeSpike) and rule.enabled
        ]
        return max(lengths, default=0)

    # -- events

    def take_price(self, market: Market, price: Price) -> None:
        """Judge the last price of a symbol."""
        known = self._prices.get(market)
        if known is not None and price.rev <= known.rev:
            return
        self._prices[market] = price
        for level in self._of(PriceCrosses, market):
            self._take_price(level, market, price)
        for move in self._of(PriceMoves, market):
            self._take_price(move, market, price)

    def _take_price(self, rule: PriceCrosses | PriceMoves, market: Market, price: Price) -> None:
        subject = ":".join(market)
        if isinstance(rule, PriceCrosses):
            judged = crosses(rule, price)
        else:
            judged = self._moves.setdefault((rule.id, subject), Moves(rule)).take(price)
        if price.rev > self._position(rule, subject):
            self._judge(rule, subject, price.rev, price.ts, judged)

    def take_candle(self, market: Market, candle: Kline) -> None:
        """Judge a closed candle."""
        for rule in self._of(VolumeSpike, market):
            if candle.frame != parse_interval(rule.interval):
                continue
            subject = ":".join(market)
            end_ms = candle.frame.end_ms(candle.timestamp)
            memory = self._spikes.setdefault((rule.id, subject), Spikes(rule))
            judged = memory.take(candle, end_ms)
            if candle.timestamp >= self._position(rule, subject):
                self._judge(rule, subject, candle.timestamp, end_ms, judged)

    def take_lags(self, lags: Mapping[tuple[str, str], int], now_ms: int) -> None:
        """Judge how many records each group has to read of each topic."""
        for rule in self._enabled(ConsumerLag):
            for (group, topic), lag in lags.items():
                if fnmatchcase(group, rule.group) and fnmatchcase(topic, rule.topic):
                    judged = _lag(rule, lag)
                    self._judge(rule, f"{group} {topic}", now_ms, now_ms, [judged])

    def take_disk(self, path: str, free_bytes: int, now_ms: int) -> None:
        """Judge how much is left of a file system."""
        for rule in self._enabled(DiskFree):
            if rule.path == path:
                self._judge(rule, path, now_ms, now_ms, [_disk(rule, free_bytes)])

    def tick(self, now_ms: int) -> None:
        """Judge what only the clock can tell; call it when the tables are up to date."""
        for gap_rule in self._enabled(GapOpen):
            self._judge_table(gap_rule, self.gaps.judged(gap_rule, now_ms), now_ms)
        for silent_rule in self._enabled(StreamSilent):
            self._judge_table(silent_rule, self.streams.judged(silent_rule, now_ms), now_ms)

    def _judge_table(self, rule: Rule, judged: Judged, now_ms: int) -> None:
        found = dict(judged)
        for subject, each in found.items():
            self._judge(rule, subject, now_ms, now_ms, [each])
        for key in [k for k in self.states if k[0] == rule.id and k[1] not in found]:
            self._release(rule, key, now_ms)

    def _release(self, rule: Rule, key: Key, now_ms: int) -> None:
        """Arm again what is in no table any more; forget it when its cool-down is over too."""
        state = self.states[key]
        for direction in state.triggers:
            gone = Judgement(direction, is_over=False, is_released=True, say=str)
            self._judge(rule, key[1], now_ms, now_ms, [gone])
        fired_ms = max(trigger.fired_ms for trigger in state.triggers.values())
        if not state.waiting and now_ms - fired_ms >= _cooldown_ms(rule):
            self._forget(key)

    # -- what came of it

    def changes(self) -> dict[Key, AlertState | None]:
        """Return what has to be stored (None: forgotten), once."""
        changed, self._changed = self._changed, {}
        return changed

    def settle(self, key: Key, version: int, numbers: Iterable[int], target: int) -> None:
        """Note that crossings need not be told to a target any more."""
        state = self.states.get(key)
        if state is None or state.version != version:
            return
        done = set(numbers)
        waiting = []
        for crossing in state.waiting:
            left = [t for t in crossing.left if t != target or crossing.number not in done]
            if left:
                waiting.append(msgspec.structs.replace(crossing, left=left))
        self._put(key, msgspec.structs.replace(state, waiting=waiting))

    def _put(self, key: Key, state: AlertState) -> None:
        self.states[key] = self._changed[key] = state
        if state.waiting:
            self.waiting[key] = None
        else:
            self.waiting.pop(key, None)

    def _forget(self, key: Key) -> None:
        del self.states[key]
        self._changed[key] = None
        self.waiting.pop(key, None)

    def _position(self, rule: Rule, subject: str) -> int:
        state = self.states.get((rule.id, subject))
        return -1 if state is None else state.position

    def _judge(
        self, rule: Rule, subject: str, position: int, at_ms: int, judged: Sequence[Judgement]
    ) -> None:
        key, cooldown_ms = (rule.id, subject), _cooldown_ms(rule)
        for each in judged:
            state = self.states.get(key)
            before = state.triggers.get(each.direction) if state else None
            trigger, outcome = step(before, each, position, at_ms, cooldown_ms)
            if trigger is None or trigger == before:
                continue
            if state is None and len(self.states) >= SUBJECTS_MAX:
                self.outcomes[kind_of(rule), "left out"] += 1
                continue
            state = state or AlertState(
                rule=rule.id, subject=subject, version=rule.changed_ms, position=-1, triggers={}
            )
            if outcome:
                self.outcomes[kind_of(rule), outcome] += 1
            self._put(key, _after(state, rule, each, trigger, (position, at_ms), outcome))

    def _enabled(self, kind: type[R]) -> Iterator[R]:
        return (r for r in list(self.rules.values()) if r.enabled and isinstance(r, kind))

    def _of(self, kind: type[R], market: Market) -> list[R]:
        found = self._by_market.get((kind, market))
        if found is None:
            every = self._enabled(kind)
            found = [r for r in every if isinstance(r, MarketRule) and matches(r, market)]
            self._by_market[kind, market] = found
        return found


def _after(
    state: AlertState,
    rule: Rule,
    judged: Judgement,
    trigger: Trigger,
    event: tuple[int, int],
    outcome: Outcome,
) -> AlertState:
    position, at_ms = event
    after = msgspec.structs.replace(
        state, position=position, triggers={**state.triggers, judged.direction: trigger}
    )
    if outcome != "fired":
        return after
    number = state.crossings + 1
    left = list(range(len(rule.to)))
    crossing = Crossing(number=number, at_ms=at_ms, text=judged.say(), left=left)
    return msgspec.structs.replace(after, crossings=number, waiting=[*state.waiting, crossing])


def _cooldown_ms(rule: Rule) -> int:
    within_s = rule.within_s if isinstance(rule, PriceMoves) else 0
    return max(rule.cooldown_s, within_s) * 1_000


def _lag(rule: ConsumerLag, lag: int) -> Judgement:
    return Judgement(
        "above", lag >= rule.above, lag * 2 < rule.above, lambda: f"{lag} records are to be read"
    )


def _disk(rule: DiskFree, free_bytes: int) -> Judgement:
    free = Decimal(free_bytes) / GIB
    return Judgement(
        "below",
        free < rule.below_gib,
        free >= rule.below_gib * Decimal("1.1"),
        lambda: f"{free:.1f} GiB are left",
    )


def kind_of(rule: Rule) -> str:
    """Return the name of a rule's kind."""
    return str(rule.__struct_config__.tag)
