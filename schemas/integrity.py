"""Integrity: what is known of a month or a day of one symbol's trades in the warehouse.

One row a period and look; of two rows about one period the younger is true. The rules of ids stand
here for those who may not read the ingestors' code, which declares them.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from schemas.klines import Quality
from schemas.trades import Channel, IdRule

Period = Literal["month", "day"]

ID_RULES: Mapping[str, IdRule] = {
    "binance": "dense",  # spot: trade ids; USD-M: aggregate ids, whose trade ids may skip
    "bybit": "unique",
    "hyperliquid": "unique",
    "kraken": "unique",
    "okx": "range",
}


def id_rule(exchange: str) -> IdRule:
    """Return what the ids of an exchange can prove; nothing, where that is not known."""
    return ID_RULES.get(exchange, "unique")


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One period of one symbol, as it was at ``checked_ms``."""

    symbol: str
    """The venue's own name."""
    period: Period
    """month or day, of UTC."""
    period_ms: int
    """When it begins, in ms since 1970."""
    first_id: int
    """The lowest id of its trades."""
    last_id: int
    """The highest one."""
    first_ms: int
    """The venue's time of the trade of ``first_id``."""
    last_ms: int
    """The venue's time of the trade of ``last_id``."""
    count: int
    """Rows that a reader of the warehouse finds."""
    duplicates: int
    """Ids that more than one of these rows holds."""
    gaps_count: int
    """Ids that are missing, in it and between the period before and it."""
    unrecoverable: int
    """So many of ``gaps_count`` are given up for good."""
    quality: Quality
    """proven: no id is missing; gap: some are; assumed: its ids can prove nothing."""
    trusted: bool
    """It is over, it lacks nothing that may still come, and it goes on in the next without a hole:
    it is not read again."""
    checked_ms: int
    """When it was looked at."""


class IntegrityEnvelope(msgspec.Struct, frozen=True):
    """The value of ``md.integrity.v1``: periods of symbols of one market."""

    exchange: str
    channel: Channel
    data: list[Checked]
    data_type: Literal["integrity"] = "integrity"


decode_integrity = msgspec.json.Decoder(IntegrityEnvelope).decode
encode_integrity = msgspec.json.Encoder().encode
