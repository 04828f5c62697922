"""Records to what Redis keeps and says: pure, so that what is kept can be tested without a server.

A hash keeps one row a symbol, so of a batch only the newest row of each field travels; every closed
candle is still said on its channel.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from schemas.intervals import SECOND_MS
from schemas.klines import KlineEnvelope, PriceEnvelope, decode_klines, decode_prices
from schemas.topics import KLINES, PRICES
from sinks.base import Record, Refused

_encode = msgspec.json.Encoder(decimal_format="number").encode


class Row(NamedTuple):
    """A field's value; of two the one with the higher (time, version) is true.

    ``message`` is said on the hash's channel when the row is accepted.
    """

    time: int
    version: int
    value: str
    message: bytes = b""


@dataclass(slots=True)
class Rows:
    """What one batch changes: rows by hash and field, and messages in order."""

    hashes: dict[str, dict[str, Row]] = field(default_factory=dict)
    messages: list[tuple[str, bytes]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    def _put(self, key: str, field_name: str, row: Row) -> None:
        fields = self.hashes.setdefault(key, {})
        known = fields.get(field_name)
        if known is None or row[:2] > known[:2]:
            fields[field_name] = row


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of keys and fields; a channel of the same kind has the name of its hash or stream."""

    main: str
    exchange: str

    def price(self, channel: str) -> str:
        """Return the hash, and the channel, of the last prices."""
        return f"{self.main}:price:{channel}"

    def last_closed(self, channel: str, interval: str) -> str:
        """Return the hash of the last closed candles."""
        return f"{self.main}:last-closed:{channel}:{interval}"

    def klines(self, channel: str, interval: str) -> str:
        """Return the channel of closed candles and corrections."""
        return f"{self.main}:klines:{channel}:{interval}"

    def field(self, exchange: str, symbol: str) -> str:
        """Return the symbol, told apart where it is another exchange's than the configured one."""
        return symbol if exchange == self.exchange else f"{exchange}:{symbol}"

    @property
    def rebuilt(self) -> str:
        """Return the key that says that the hashes are complete."""
        return f"{self.main}:rebuilt"

    def versions(self, key: str) -> str:
        """Return the hash that keeps (time, version) beside the rows of ``key``."""
        kind = key.removeprefix(f"{self.main}:").partition(":")[0]
        return key.replace(f"{self.main}:{kind}", f"{self.main}:{kind}-rev", 1)

    def patterns(self) -> list[str]:
        """Return globs of every key that is ours."""
        main = "".join(f"\\{c}" if c in "*?[]^\\" else c for c in self.main)
        kinds = ("price", "last-closed", "price-rev", "last-closed-rev")
        return [f"{main}:{kind}:*" for kind in kinds] + [f"{main}:rebuilt"]


def rows_of(records: Iterable[Record], keys: Keys) -> Rows:
    """Read the records of both topics; those that cannot be read are refused."""
    rows = Rows()
    for record in records:
        try:
            if record.topic == PRICES.name:
                _add_prices(rows, decode_prices(record.value), record.value, keys)
            elif record.topic == KLINES.name:
                _add_klines(rows, decode_klines(record.value), keys)
        except (msgspec.MsgspecError, ValueError) as e:
            rows.refused.append(Refused(record, str(e)))
    return rows


def _add_prices(rows: Rows, envelope: PriceEnvelope, message: bytes, keys: Keys) -> None:
    key = keys.price(envelope.channel)
    for price in envelope.data:
        row = Row(price.rev, 0, f"{price.price:f}", message)
        rows._put(key, keys.field(envelope.exchange, price.symbol), row)  # noqa: SLF001


def _add_klines(rows: Rows, envelope: KlineEnvelope, keys: Keys) -> None:
    if any(k.interval < SECOND_MS or k.interval % SECOND_MS for k in envelope.data):
        raise ValueError("an interval is no whole number of seconds")
    closed = [k for k in envelope.data if k.closed]
    for frame in dict.fromkeys(k.frame for k in closed):
        interval = frame.text
        same = [k for k in closed if k.frame == frame]
        said = msgspec.structs.replace(envelope, data=same)
        rows.messages.append((keys.klines(envelope.channel, interval), _encode(said)))
        for k in same:
            row = Row(k.timestamp, k.version, _encode(k).decode())
            key = keys.last_closed(envelope.channel, interval)
            rows._put(key, keys.field(envelope.exchange, k.symbol), row)  # noqa: SLF001
