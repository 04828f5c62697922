"""What a client may say: text in, values out, no I/O; ``envelopes`` has what it is told.

A bare number as timeframe means minutes (``15`` is ``15m``), as the clients of old send it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    StringConstraints,
    Tag,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from schemas.intervals import BadInterval, Interval, parse_intervals
from schemas.trades import Channel

ANY = "*"
MESSAGE_BYTES_MAX = 64 << 10
SUBSCRIPTIONS_PER_CLIENT_MAX = 1_000
MESSAGES_PER_S_MAX = 20
INITIAL_CANDLES_DEFAULT = 100
INITIAL_CANDLES_MAX = 10_000
"""Of one subscribe message, all its series together."""

FROM_SEQ_MAX = 1_000  # partitions of one subscription
TIMEFRAMES_MAX = 1_000  # of one subscription
PATTERNS_PER_CLIENT_MAX = 50  # names with a ``*`` in them: each may mean very many series
QUOTED_CHARS_MAX = 80
Kind = Literal["trades", "prices", "tickers", "books", "ticks", "stats", "gaps"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KLINES: Literal["klines"] = "klines"
EXAMPLE = (
    '{"action":"subscribe","subscriptions":[{"symbol":"BTCUSDT","exchange":"binance",'
    '"channel":"linear","timeframes":[{"timeframe":"173m","initial_candles":100},15]}]}'
)
INTERVALS_HINT = (
    "1s ... 59s and any whole minute up to 30 days: 1s, 5m, 173m, 4h, 1D, or 15 (min); "
    "1w@mon, 1M, 1D@tz=Asia/Tokyo, 8h@funding"
)
ACTIONS_HINT = f'"action" is one of subscribe, unsubscribe, ping. Example: {EXAMPLE}'


TIMEFRAME_SCHEMA = {
    "anyOf": [{"type": "string"}, {"type": "integer", "minimum": 1}],
    "description": "An interval or a preset; a number means minutes.",
    "examples": ["173m", 15, "1w@mon", "fibonacci"],
}


class Refused(ValueError):  # noqa: N818 - what happened to the message
    """A message that was not obeyed: what is wrong with it, and what would be right."""

    def __init__(self, error: str, hint: str = EXAMPLE) -> None:
        super().__init__(error)
        self.error = error
        self.hint = hint


class Key(NamedTuple):
    """A series of candles or, with ``*`` in any of the texts, all the series it covers."""

    exchange: str
    channel: str
    symbol: str
    interval: Interval

    @property
    def is_pattern(self) -> bool:
        """Say whether it covers more than the series of this name."""
        return ANY in self[:3]

    def covers(self, series: "Key") -> bool:
        """Say whether ``series`` is meant by this key."""
        return self.interval == series.interval and all(
            mine in (ANY, theirs) for mine, theirs in zip(self[:3], series[:3], strict=True)
        )

    def covering(self) -> list["Key"]:
        """Return every key that covers this series, itself first."""
        return [
            Key(exchange, channel, symbol, self.interval)
            for exchange in (self.exchange, ANY)
            for channel in (self.channel, ANY)
            for symbol in (self.symbol, ANY)
        ]


class KindKey(NamedTuple):
    """What is told of a symbol beside its candles; ``*`` in any of the texts is any."""

    exchange: str
    channel: str
    symbol: str
    kind: Kind

    @property
    def is_pattern(self) -> bool:
        """Say whether it covers more than this symbol of this market."""
        return ANY in self[:3]


def is_of(key: tuple[Any, ...], place: tuple[str, str]) -> bool:
    """Say whether a key, which begins with exchange and channel, means these."""
    return key[0] in (ANY, place[0]) and key[1] in (ANY, place[1])


class DataStatus(NamedTuple):
    """How whole the data of a series are, in the words that clients know."""

    historical_loading: bool = False
    """A snapshot is still to come: the history is being read."""
    gap_recovery: bool = False
    """Missing trades of the symbol are being fetched; corrections follow."""
    data_quality: Literal["complete", "gap", "partial"] = "complete"
    """gap: trades are missing; partial: older candles exist and could not be read."""


class Wanted(NamedTuple):
    """One subscription: what, and how many closed candles to begin with."""

    key: Key
    initial_candles: int
    from_seq: tuple[tuple[int, int], ...] | None = None
    """Partitions and the offsets up to which the client has everything already."""


class Answer(NamedTuple):
    """What a subscription begins with."""

    wanted: Wanted
    candles: int
    hint: str | None
    status: DataStatus = DataStatus()


class KindAnswer(NamedTuple):
    """What a subscription to a kind begins with."""

    key: KindKey
    hint: str | None


def _intervals(value: object) -> tuple[Interval, ...]:
    match value:
        case bool():
            pass
        case int():
            return parse_intervals([f"{value}m"])
        case str():
            return parse_intervals([value])
    raise BadInterval(str(value), "expected text such as 173m, or a number of minutes")


def _spelled_out(value: object) -> object:
    return value if isinstance(value, dict) else {"timeframe": value}


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # clients may be newer than we are


class Timeframe(_Said):
    """A timeframe (a preset stands for several) and how many candles to begin with."""

    timeframe: Annotated[
        tuple[Interval, ...], PlainValidator(_intervals), WithJsonSchema(TIMEFRAME_SCHEMA)
    ]
    initial_candles: int = Field(INITIAL_CANDLES_DEFAULT, ge=0, strict=True)


Name = Annotated[str, StringConstraints(pattern=r"^(\*|[^\s*\"\\<>\x00-\x1f]{1,64})$")]
_Spelled = Annotated[
    Timeframe, BeforeValidator(_spelled_out, json_schema_input_type=Timeframe | str | int)
]
Timeframes = Annotated[list[_Spelled], Field(max_length=TIMEFRAMES_MAX)]
Offsets = dict[Annotated[int, Field(ge=0, lt=1 << 31)], Annotated[int, Field(ge=-1, lt=1 << 63)]]


class _Named(_Said):
    symbol: Name
    exchange: Name = "binance"
    channel: Literal[Channel, "*"] = "linear"


class KindSelection(_Named):
    """All that is told of one kind; by default of Binance's linear perpetuals; ``*`` is any."""

    data_type: Kind

    @property
    def key(self) -> KindKey:
        """Return what is meant."""
        return KindKey(self.exchange, self.channel, self.symbol, self.data_type)


class Selection(_Named):
    """Some timeframes of a symbol, by default of Binance's linear perpetuals; ``*`` is any."""

    data_type: Literal["klines"] = KLINES
    timeframes: Timeframes = []

    @property
    def intervals(self) -> set[Interval]:
        """Return what its timeframes are; none named means all of them."""
        return {interval for item in self.timeframes for interval in item.timeframe}


class Subscription(Selection):
    """Candles to send from now on."""

    timeframes: Timeframes = Field(min_length=1, max_length=TIMEFRAMES_MAX)
    from_seq: Offsets | None = Field(None, max_length=FROM_SEQ_MAX)

    def wanted(self) -> list[Wanted]:
        """Return one entry for each timeframe named, as it is named last."""
        seq = None if self.from_seq is None else tuple(sorted(self.from_seq.items()))
        named = {
            interval: item.initial_candles
            for item in self.timeframes
            for interval in item.timeframe
        }
        return [
            Wanted(Key(self.exchange, self.channel, self.symbol, interval), candles, seq)
            for interval, candles in named.items()
        ]


def _sort_of(said: object) -> str:
    is_kind = isinstance(said, dict) and said.get("data_type", KLINES) != KLINES
    return _KIND if is_kind else KLINES


_KIND = "kind"
_Kinds = Annotated[KindSelection, Tag(_KIND)]
_ByType = Discriminator(_sort_of)


class Subscribe(_Said):
    """Send what is known so far, then every change."""

    action: Literal["subscribe"]
    subscriptions: list[Annotated[Annotated[Subscription, Tag(KLINES)] | _Kinds, _ByType]] = Field(
        min_length=1
    )

    @property
    def wanted(self) -> list[Wanted]:
        """Return the candles that are named, each once, as they are named last."""
        ours = [each for each in self.subscriptions if isinstance(each, Subscription)]
        return list({wanted.key: wanted for each in ours for wanted in each.wanted()}.values())

    @property
    def positions(self) -> dict[int, int]:
        """Return the highest offset of each partition up to which the client has everything."""
        highest: dict[int, int] = {}
        for each in self.subscriptions:
            seq = each.from_seq if isinstance(each, Subscription) else None
            for partition, offset in (seq or {}).items():
                highest[partition] = max(highest.get(partition, -1), offset)
        return highest

    @property
    def kinds(self) -> list[KindKey]:
        """Return the kinds that are named, each once."""
        return _kinds(self.subscriptions)


class Unsubscribe(_Said):
    """Send no more of these; they are named as they were subscribed."""

    action: Literal["unsubscribe"]
    subscriptions: list[Annotated[Annotated[Selection, Tag(KLINES)] | _Kinds, _ByType]] = Field(
        min_length=1
    )

    def meant(self, keys: Iterable[Key]) -> list[Key]:
        """Return which of these subscriptions to candles are to end."""
        named: defaultdict[tuple[str, str, str], set[Interval]] = defaultdict(set)
        whole: set[tuple[str, str, str]] = set()
        for each in self.subscriptions:
            if isinstance(each, Selection):
                name = (each.exchange, each.channel, each.symbol)
                named[name] |= each.intervals
                if not each.timeframes:
                    whole.add(name)
        return [key for key in keys if key[:3] in whole or key.interval in named.get(key[:3], ())]

    @property
    def kinds(self) -> list[KindKey]:
        """Return the kinds that are named, each once."""
        return _kinds(self.subscriptions)


def _kinds(said: Sequence[Selection | KindSelection]) -> list[KindKey]:
    return list(dict.fromkeys(each.key for each in said if isinstance(each, KindSelection)))


class Ping(_Said):
    """Answer with a pong."""

    action: Literal["ping"]


Message = Subscribe | Unsubscribe | Ping
_read = TypeAdapter[Message](Annotated[Message, Field(discriminator="action")])


def parse(text: str | bytes) -> Message:
    """Read one message of a client; raise Refused with words that help to write a better one."""
    data = text.encode() if isinstance(text, str) else text
    if len(data) > MESSAGE_BYTES_MAX:
        raise Refused(
            f"the message has {len(data)} bytes, {MESSAGE_BYTES_MAX} are allowed",
            "Send it in several messages.",
        )
    try:
        return _read.validate_json(data)
    except ValidationError as e:
        raise _refusal(e) from e


def _refusal(error: ValidationError) -> Refused:
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, BadInterval):
        said = f"{_quoted(cause.text)} is not a timeframe: {cause.reason}"
        return Refused(said, INTERVALS_HINT)
    where = _path(first["loc"]) or "message"
    hint = EXAMPLE
    match first["type"]:
        case "json_invalid":
            said = f"not JSON: {first['msg'].removeprefix('Invalid JSON: ')}"
        case "union_tag_invalid":
            said, hint = f"unknown action {_quoted(first['input']['action'])}", ACTIONS_HINT
        case "union_tag_not_found":
            said, hint = '"action" is missing', ACTIONS_HINT
        case "missing":
            said = f"{where} is missing"
        case "string_pattern_mismatch":
            said = f"{where}: {_quoted(first['input'])} is not a name"
        case _:
            said = f"{where}: {first['msg']}, got {_quoted(first['input'])}"
    return Refused(said, hint)


def _path(parts: Sequence[int | str]) -> str:
    # The first part is the action, and behind a place in a list stands by what it was told.
    named = [
        part
        for at, part in enumerate(parts)
        if at and not (part in (KLINES, _KIND) and isinstance(parts[at - 1], int))
    ]
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in named)
    return text.removeprefix(".")


def _quoted(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= QUOTED_CHARS_MAX else shown[:QUOTED_CHARS_MAX] + "..."
