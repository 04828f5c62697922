"""Alerts: rules (``md.alerts.v1``), and what became of each (``md.alert-states.v1``).

Both are compacted. A rule that was changed is another rule: it begins anew (``changed_ms``).
"""

from decimal import Decimal
from typing import Annotated, Literal, get_args

import msgspec

from schemas.intervals import BadInterval, parse_interval
from schemas.streams import Kind

TARGETS_MAX = 8
NAME_CHARS_MAX = 128
COOLDOWN_S_MAX = 30 * 86_400

Id = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Target = Annotated[str, msgspec.Meta(min_length=1, max_length=2_048)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=30 * 86_400)]
Direction = Literal["up", "down", "both"]


class _Rule(msgspec.Struct, frozen=True, kw_only=True, tag_field="data_type"):
    id: Id
    """Its key: small letters, digits, dots, dashes."""
    to: Annotated[list[Target], msgspec.Meta(min_length=1, max_length=TARGETS_MAX)]
    """Where it is delivered: URLs of Apprise. They hold secrets, which this topic's readers see."""
    cooldown_s: Annotated[int, msgspec.Meta(ge=0, le=COOLDOWN_S_MAX)] = 60
    """A crossing so soon after the last one that was told is counted, and not told."""
    enabled: bool = True
    note: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """Stands in the title of what is delivered."""
    changed_ms: int = 0
    """When it was written: what happened earlier is not judged by it."""


class _MarketRule(_Rule, frozen=True, kw_only=True):
    exchange: Name = "*"
    """A pattern, as the two below: ``*`` is any, ``BTC*`` what begins so."""
    channel: Name = "*"
    """spot or linear."""
    symbol: Name
    """The venue's own name."""


class PriceCrosses(_MarketRule, frozen=True, kw_only=True, tag="price-crosses"):
    """The last price reaches a level from below (up) or from above (down)."""

    level: Decimal
    direction: Direction = "both"
    rearm_percent: Decimal = Decimal("0.1")
    """It must go back so far, in percent of the level, before it can cross once more."""


class PriceMoves(_MarketRule, frozen=True, kw_only=True, tag="price-moves"):
    """The last price is so far above the lowest, or below the highest, of the last seconds.

    It is armed again when the distance is under half of that.
    """

    percent: Decimal
    within_s: Annotated[int, msgspec.Meta(ge=10, le=86_400)]
    """By the venue's clock. A direction is told once in that time at most."""
    direction: Direction = "both"


class VolumeSpike(_MarketRule, frozen=True, kw_only=True, tag="volume-spike"):
    """A closed candle has so many times the average volume of the candles before it."""

    interval: Name
    """One that is made: 1m, 1h, 173m, ..."""
    times: Decimal
    candles: Annotated[int, msgspec.Meta(ge=2, le=500)] = 20
    """How many before it are averaged; until there are so many nothing is judged."""


class GapOpen(_MarketRule, frozen=True, kw_only=True, tag="gap-open"):
    """A gap of a symbol (``md.gaps.v1``) is open for longer; what is given up is not open."""

    symbol: Name = "*"
    """The venue's own name."""
    longer_s: Seconds


class StreamSilent(_MarketRule, frozen=True, kw_only=True, tag="stream-silent"):
    """A stream that shall run does not deliver, or its ingestor has not told that it lives."""

    symbol: Name = "*"
    """The venue's own name."""
    kind: Kind | Literal["*"] = "*"
    longer_s: Seconds


class ConsumerLag(_Rule, frozen=True, kw_only=True, tag="consumer-lag"):
    """A consumer group has more records of a topic to read; armed again under half of it."""

    group: Name
    """A pattern: ``fibstream.sink.*``."""
    topic: Name = "*"
    """A pattern, prefix included."""
    above: Annotated[int, msgspec.Meta(ge=1)]
    """Records, of all partitions together."""


class DiskFree(_Rule, frozen=True, kw_only=True, tag="disk-free"):
    """A file system of the machine that runs ``fibstream alerts run`` has less left.

    It is armed again at a tenth more.
    """

    path: Name
    below_gib: Decimal


MarketRule = PriceCrosses | PriceMoves | VolumeSpike | GapOpen | StreamSilent
Rule = MarketRule | ConsumerLag | DiskFree
KINDS: dict[str, type[Rule]] = {str(kind.__struct_config__.tag): kind for kind in get_args(Rule)}


class BadRule(ValueError):  # noqa: N818 - reads as the claim it makes
    """A rule cannot be meant so; the text says why, without repeating a target."""


class Trigger(msgspec.Struct, frozen=True):
    """One direction of a rule on one subject: armed until it fires, and again after its release."""

    is_armed: bool
    fired_ms: int = 0
    """When it was told last: the time of the event that crossed."""
    fired_position: int = -1
    """The position of that event."""


class Crossing(msgspec.Struct, frozen=True):
    """What has to be told to some targets still."""

    number: int
    """Counts the crossings of one subject."""
    at_ms: int
    text: str
    left: list[int]
    """Which of the rule's targets have not got it yet."""


class AlertState(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a rule on one subject; its key is ``rule|subject``."""

    rule: str
    subject: str
    """``exchange:channel:symbol``, a stream, a group and its topic, or a path."""
    version: int
    """The rule's ``changed_ms``."""
    position: int
    """What was judged last: the ``rev`` of a price, the time of a candle, our clock."""
    triggers: dict[str, Trigger]
    """By direction."""
    crossings: int = 0
    waiting: list[Crossing] = msgspec.field(default_factory=list)
    """What was not delivered yet, oldest first."""

    @property
    def key(self) -> str:
        """The record's key."""
        return f"{self.rule}|{self.subject}"


def checked(rule: Rule) -> Rule:
    """Return the rule; raise BadRule where its fields cannot be meant."""
    if rule.id.endswith("\n"):  # which the pattern's $ lets pass
        raise BadRule("id must not end with a newline")
    for name in ("level", "percent", "times", "below_gib"):
        value = getattr(rule, name, Decimal(1))
        if not value.is_finite() or value <= 0:
            raise BadRule(f"{name} must be a number above 0, not {value}")
    if isinstance(rule, MarketRule) and rule.channel not in ("*", "spot", "linear"):
        raise BadRule(f"channel must be spot, linear or *, not {rule.channel!r}")
    if problem := _problem(rule):
        raise BadRule(problem)
    return rule


def _problem(rule: Rule) -> str:
    match rule:
        case PriceCrosses() if not 0 <= rule.rearm_percent < 100:
            return f"rearm_percent must be from 0 to under 100, not {rule.rearm_percent}"
        case PriceCrosses() if any(char in "*?[" for char in rule.symbol):
            return "symbol must name one symbol: a level is a level of one price"
        case PriceMoves() if rule.direction != "up" and rule.percent >= 100:
            return "percent must be under 100: nothing falls by more"
        case VolumeSpike():
            try:
                parse_interval(rule.interval)
            except BadInterval as e:
                return f"interval: {e}"
    return ""


def decode_rule_input(value: bytes, *, lax: bool = False) -> Rule:
    """Read what somebody wrote; raise BadRule. ``lax`` takes numbers that are written as text."""
    try:
        fields = msgspec.json.decode(value)
        if not isinstance(fields, dict):
            raise BadRule("a rule is a JSON object")
        kind = KINDS.get(str(fields.get("data_type")))
        if kind is None:
            raise BadRule(f"data_type must be one of {', '.join(KINDS)}")
        known = kind.__struct_fields__
        strange = sorted(set(map(str, fields)) - {"data_type", *known})
        if strange:
            names = ", ".join(sorted(known))
            raise BadRule(f"{fields['data_type']} has no field {strange[0]!r}; it has {names}")
        return checked(msgspec.json.decode(value, type=Rule, strict=not lax))
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise BadRule(str(e)) from e
    except RecursionError as e:
        raise BadRule("it is nested too deeply") from e


decode_rule = msgspec.json.Decoder(Rule).decode
decode_alert_state = msgspec.json.Decoder(AlertState).decode
encode_alert = msgspec.json.Encoder(decimal_format="number").encode
