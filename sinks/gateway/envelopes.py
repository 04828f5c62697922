"""What a client is told, as JSON texts; ``protocol`` has what it may say.

Rows are texts of the topics and stay as they are, digit for digit.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from sinks.gateway.protocol import Answer, DataStatus, Key, KindAnswer, KindKey, Refused

SNAPSHOT_ROWS_MAX = 1_000  # of one message; clients' libraries refuse longer ones


def _text(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()


def error_text(refused: Refused) -> str:
    """Return the answer to a message that was not obeyed."""
    return _text({"type": "error", "error": refused.error, "hint": refused.hint})


def pong_text(now_ms: int) -> str:
    """Return the answer to a ping."""
    return _text({"type": "pong", "time_ms": now_ms})


def subscribed_text(
    answers: Iterable[Answer | KindAnswer], seq: Mapping[int, int] | None = None
) -> str:
    """Return the answer to a subscribe: per entry how many candles follow, and advice if any.

    Where nothing follows, it tells the position itself.
    """
    items = []
    for answer in answers:
        item = _begun(answer)
        items.append(item if answer.hint is None else {**item, "hint": answer.hint})
    told = {"type": "subscribed", "subscriptions": items}
    return _text({**told, "seq": seq} if seq else told)


def _begun(answer: Answer | KindAnswer) -> dict[str, Any]:
    if isinstance(answer, KindAnswer):
        return _named(answer.key)
    status = answer.status._asdict()
    return {**_named(answer.wanted.key), "candles": answer.candles, "data_status": status}


def unsubscribed_text(keys: Sequence[Key | KindKey], reason: str = "") -> str:
    """Return the answer to an unsubscribe: what was really given up; unasked, with a reason."""
    told = {"type": "unsubscribed", "subscriptions": [_named(key) for key in keys]}
    return _text({**told, "reason": reason} if reason else told)


def _named(key: Key | KindKey) -> dict[str, Any]:
    named = {"symbol": key.symbol, "exchange": key.exchange, "channel": key.channel}
    if isinstance(key, KindKey):
        return {**named, "data_type": key.kind}
    return {
        **named,
        "timeframe": key.interval.text,
        "interval": key.interval.length_ms,
        "anchor": key.interval.anchor,
    }


def market_head(exchange: str, channel: str, data_type: str = "klines") -> str:
    """Return the beginning of every update's envelope; ``updates_text`` ends it."""
    fields = {"exchange": exchange, "channel": channel, "data_type": data_type, "recv_ms": 0}
    return _text(fields)[:-2]


def updates_head(head: str, recv_ms: int, seq: Mapping[int, int] | None = None) -> str:
    """Return the envelope of updates under ``market_head`` up to its rows."""
    return f'{head}{recv_ms}{_seq(seq)},"data":['


def updates_text(
    head: str,
    recv_ms: int,
    rows: Sequence[str],
    seq: Mapping[int, int] | None = None,
    *,
    snapshot: bool = False,
    status: DataStatus | None = None,
) -> str:
    """Return one envelope under ``market_head``, which may be of several symbols.

    The rows are JSON texts and stay as they are, digit for digit.
    """
    told = ',"snapshot":true' if snapshot else ""
    if status is not None:
        told += f',"data_status":{_text(status._asdict())}'
    return f'{head}{recv_ms}{told}{_seq(seq)},"data":[{",".join(rows)}]}}'


def _seq(seq: Mapping[int, int] | None) -> str:
    return "" if not seq else f',"seq":{msgspec.json.encode(seq).decode()}'


def snapshot_texts(
    key: Key,
    recv_ms: int,
    rows: Sequence[str],
    status: DataStatus,
    seq: Mapping[int, int] | None = None,
) -> Iterator[str]:
    """Yield a snapshot; what is beyond one message's rows goes on as changes.

    The last message tells the position up to which it holds everything.
    """
    head = market_head(key.exchange, key.channel)
    for at in range(0, max(len(rows), 1), SNAPSHOT_ROWS_MAX):
        told = None if at else status
        seq_told = seq if at + SNAPSHOT_ROWS_MAX >= len(rows) else None
        part = rows[at : at + SNAPSHOT_ROWS_MAX]
        yield updates_text(head, recv_ms, part, seq_told, snapshot=not at, status=told)


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
