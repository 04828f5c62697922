"""What a client may say and what it is told: text in, values out, no I/O.

A bare number as timeframe means minutes (``15`` is ``15m``), as the clients of old send it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
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

SNAPSHOT_ROWS_MAX = 1_000  # of one message; clients' libraries refuse longer ones
QUOTED_CHARS_MAX = 80
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


class Answer(NamedTuple):
    """What a subscription begins with."""

    wanted: Wanted
    candles: int
    hint: str | None
    status: DataStatus = DataStatus()


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
Timeframes = Annotated[list[_Spelled], Field()]


class Selection(_Said):
    """Some timeframes of a symbol, by default of Binance's linear perpetuals; ``*`` is any."""

    symbol: Name
    exchange: Name = "binance"
    channel: Literal[Channel, "*"] = "linear"
    timeframes: Timeframes = []

    def wanted(self) -> list[Wanted]:
        """Return one entry for each timeframe named."""
        return [
            Wanted(Key(self.exchange, self.channel, self.symbol, interval), item.initial_candles)
            for item in self.timeframes
            for interval in item.timeframe
        ]

    def means(self, key: Key) -> bool:
        """Say whether the subscription ``key`` is meant; no timeframe named means all of them."""
        named = {interval for item in self.timeframes for interval in item.timeframe}
        return key[:3] == (self.exchange, self.channel, self.symbol) and (
            not named or key.interval in named
        )


class Subscription(Selection):
    """What to send from now on."""

    timeframes: Timeframes = Field(min_length=1)


class Subscribe(_Said):
    """Send the candles so far, then every change."""

    action: Literal["subscribe"]
    subscriptions: list[Subscription] = Field(min_length=1)


class Unsubscribe(_Said):
    """Send no more of these; they are named as they were subscribed."""

    action: Literal["unsubscribe"]
    subscriptions: list[Selection] = Field(min_length=1)


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
    # The first part is the action, by which the kind of message was told.
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts[1:])
    return text.removeprefix(".")


def _quoted(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= QUOTED_CHARS_MAX else shown[:QUOTED_CHARS_MAX] + "..."


def _text(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()


def error_text(refused: Refused) -> str:
    """Return the answer to a message that was not obeyed."""
    return _text({"type": "error", "error": refused.error, "hint": refused.hint})


def pong_text(now_ms: int) -> str:
    """Return the answer to a ping."""
    return _text({"type": "pong", "time_ms": now_ms})


def subscribed_text(answers: Iterable[Answer]) -> str:
    """Return the answer to a subscribe: per entry how many candles follow, and advice if any."""
    items = []
    for wanted, candles, hint, status in answers:
        item = {**_named(wanted.key), "candles": candles, "data_status": status._asdict()}
        items.append(item if hint is None else {**item, "hint": hint})
    return _text({"type": "subscribed", "subscriptions": items})


def unsubscribed_text(keys: Sequence[Key], reason: str = "") -> str:
    """Return the answer to an unsubscribe: what was really given up; unasked, with a reason."""
    told = {"type": "unsubscribed", "subscriptions": [_named(key) for key in keys]}
    return _text({**told, "reason": reason} if reason else told)


def _named(key: Key) -> dict[str, Any]:
    return {
        "symbol": key.symbol,
        "exchange": key.exchange,
        "channel": key.channel,
        "timeframe": key.interval.text,
        "interval": key.interval.length_ms,
        "anchor": key.interval.anchor,
    }


def market_head(exchange: str, channel: str) -> str:
    """Return the beginning of every update's envelope; ``updates_text`` ends it."""
    fields = {"exchange": exchange, "channel": channel, "data_type": "klines", "recv_ms": 0}
    return _text(fields)[:-2]


def updates_text(head: str, recv_ms: int, rows: Sequence[str]) -> str:
    """Return one envelope of updates under ``market_head``, which may be of several symbols."""
    return f'{head}{recv_ms},"data":[{",".join(rows)}]}}'


def klines_head(
    exchange: str,
    channel: str,
    recv_ms: int,
    *,
    snapshot: bool = False,
    status: DataStatus | None = None,
) -> str:
    """Return the envelope up to its rows; ``klines_text`` puts the rows in."""
    fields: dict[str, Any] = {
        "exchange": exchange,
        "channel": channel,
        "data_type": "klines",
        "recv_ms": recv_ms,
    }
    if snapshot:
        fields["snapshot"] = True
    if status is not None:
        fields["data_status"] = status._asdict()
    return _text(fields)[:-1] + ',"data":['


def klines_text(head: str, rows: Sequence[str]) -> str:
    """Return one envelope; the rows are JSON texts and stay as they are, digit for digit."""
    return f"{head}{','.join(rows)}]}}"


def snapshot_texts(
    key: Key, recv_ms: int, rows: Sequence[str], status: DataStatus
) -> Iterator[str]:
    """Yield a snapshot; what is beyond one message's rows goes on as changes."""
    for at in range(0, max(len(rows), 1), SNAPSHOT_ROWS_MAX):
        told = None if at else status
        head = klines_head(key.exchange, key.channel, recv_ms, snapshot=not at, status=told)
        yield klines_text(head, rows[at : at + SNAPSHOT_ROWS_MAX])


def status_text(keys: Iterable[Key], status: DataStatus) -> str:
    """Return what became of the data of some series of one symbol, unasked."""
    named = list(keys)
    exchange, channel, symbol, _ = named[0]
    return _text(
        {
            "type": "data_status",
            "symbol": symbol,
            "exchange": exchange,
            "channel": channel,
            "timeframes": [key.interval.text for key in named],
            "data_status": status._asdict(),
        }
    )


def stats_text(figures: dict[str, Any]) -> str:
    """Return the rates, as sent once a second."""
    return _text({"type": "stats", **figures})
