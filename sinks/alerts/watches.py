"""What prices and candles mean to a rule: memories of one subject each, and their judgements.

Reading an event again changes nothing: memories know what they have seen.
"""

from collections import OrderedDict
from decimal import Decimal

from schemas.alerts import PriceCrosses, PriceMoves, VolumeSpike
from schemas.klines import Kline, Price
from sinks.alerts.triggers import Judgement

WINDOW_PARTS = 60  # a window forgets in steps of so small a part of itself


def crosses(rule: PriceCrosses, price: Price) -> list[Judgement]:
    """Judge a price by a level."""
    band = rule.level * rule.rearm_percent / 100
    value, is_past = price.price, price.ts < rule.changed_ms

    def judged(direction: str, *, is_over: bool, is_released: bool) -> Judgement:
        word = "up to" if direction == "up" else "down to"
        return Judgement(
            direction,
            is_over,
            is_released,
            lambda: f"the price came {word} {value:f} (level {rule.level:f})",
            starts_armed=False,
            is_past=is_past,
        )

    found = []
    if rule.direction != "down":
        over = value >= rule.level
        found.append(
            judged("up", is_over=over, is_released=not over and value <= rule.level - band)
        )
    if rule.direction != "up":
        over = value <= rule.level
        found.append(
            judged("down", is_over=over, is_released=not over and value >= rule.level + band)
        )
    return found


class Moves:
    """The lowest and the highest price of a window, in parts of it."""

    def __init__(self, rule: PriceMoves) -> None:
        self._rule = rule
        self._part_ms = rule.within_s * 1_000 // WINDOW_PARTS
        self._parts: OrderedDict[int, tuple[Decimal, Decimal]] = OrderedDict()
        self._rev = -1

    def take(self, price: Price) -> list[Judgement]:
        """Remember a price, and judge it."""
        rule, value = self._rule, price.price
        if price.rev <= self._rev or price.ts < rule.changed_ms:
            return []
        self._rev = price.rev
        part = price.ts // self._part_ms
        low, high = self._parts.get(part, (value, value))
        self._parts[part] = min(low, value), max(high, value)
        since = part - WINDOW_PARTS + 1  # never more than the window, at most one part less
        for old in [each for each in self._parts if each < since]:
            del self._parts[old]
        found = []
        if rule.direction != "down":
            found.append(self._moved("up", min(low for low, _ in self._parts.values()), value))
        if rule.direction != "up":
            found.append(self._moved("down", max(high for _, high in self._parts.values()), value))
        return found

    def _moved(self, direction: str, since: Decimal, value: Decimal) -> Judgement:
        rule = self._rule
        percent = abs(value - since) * 100 / since if since else Decimal(0)
        sign = "+" if direction == "up" else "-"
        return Judgement(
            direction,
            percent >= rule.percent,
            percent * 2 < rule.percent,
            lambda: (
                f"the price moved {sign}{percent:.2f} % within {rule.within_s} s, "
                f"from {since:f} to {value:f}"
            ),
        )


class Spikes:
    """The volumes of the last candles of one symbol."""

    def __init__(self, rule: VolumeSpike) -> None:
        self._rule = rule
        self._candles: dict[int, tuple[int, Decimal]] = {}  # by open time: version, volume

    def take(self, candle: Kline, end_ms: int) -> list[Judgement]:
        """Remember a closed candle, and judge it where it is the newest."""
        rule, at = self._rule, candle.timestamp
        known = self._candles.get(at)
        newest = max(self._candles, default=at)
        if known is not None and candle.version <= known[0]:
            return []
        if known is None and at < newest and len(self._candles) > rule.candles:
            return []  # older than all that count
        self._candles[at] = candle.version, candle.volume
        while len(self._candles) > rule.candles + 1:
            del self._candles[min(self._candles)]
        if at < newest or end_ms < rule.changed_ms or len(self._candles) <= rule.candles:
            return []
        before = [volume for open_ms, (_, volume) in self._candles.items() if open_ms != at]
        average = sum(before, Decimal(0)) / len(before)
        over = average > 0 and candle.volume >= rule.times * average

        def say() -> str:
            times = candle.volume / average
            return (
                f"the {rule.interval} candle has a volume of {candle.volume:f}, {times:.1f} times "
                f"the average of the {len(before)} before it"
            )

        return [Judgement("up", over, not over, say)]
