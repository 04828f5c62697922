"""``tickers``: the state of a symbol; funding, mark price and open interest come in it too.

Linear sends a snapshot and then deltas of what changed; spot only snapshots, without best prices.
``openInterest`` counts both sides of a contract, twice what ``singleOpenInterest`` (since 2026-06)
and other venues say; it is passed on as told, so that a series never changes its meaning.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec import json

from ingest.exchanges.base import Data
from ingest.exchanges.bybit.fields import CHARACTERS_MAX, number
from schemas.updates import Funding, OpenInterest, Ticker

# The venue's name to ours.
NUMBERS: Mapping[str, str] = {
    "lastPrice": "last_price",
    "price24hPcnt": "price_24h_pcnt",
    "prevPrice24h": "prev_price_24h",
    "prevPrice1h": "prev_price_1h",
    "highPrice24h": "high_price_24h",
    "lowPrice24h": "low_price_24h",
    "volume24h": "volume_24h",
    "turnover24h": "turnover_24h",
    "bid1Price": "bid1_price",
    "bid1Size": "bid1_size",
    "ask1Price": "ask1_price",
    "ask1Size": "ask1_size",
    "markPrice": "mark_price",
    "indexPrice": "index_price",
    "usdIndexPrice": "usd_index_price",
    "openInterest": "open_interest",
    "openInterestValue": "open_interest_value",
    "fundingRate": "funding_rate",
    "fundingIntervalHour": "funding_interval_hour",
    "fundingCap": "funding_cap",
}
# Ours, of which one is enough for a row of funding.
FUNDING = frozenset({"mark_price", "index_price", "funding_rate", "funding_interval_hour"})
MILLIS_MAX = 9_999_999_999_999

_decode = json.Decoder(dict[str, Any]).decode


def tickers(data: bytes, *, type_: str, ts: int) -> list[Data]:
    """Return the ticker, and what it tells of funding and open interest; or raise ValueError."""
    if type_ not in ("snapshot", "delta"):
        raise ValueError(f"type: {type_!r:.60} is neither snapshot nor delta")
    told = {k: v for k, v in _decode(data).items() if v != "" and v is not None}
    symbol = told.get("symbol")
    if not isinstance(symbol, str) or len(symbol) > CHARACTERS_MAX:
        raise ValueError(f"symbol: {symbol!r:.60} is no name")
    numbers = {ours: number(name, told[name]) for name, ours in NUMBERS.items() if name in told}
    next_funding_ms = _next_funding_ms(told)
    fields: dict[str, Any] = {**numbers, "next_funding_time": next_funding_ms}
    if isinstance(direction := told.get("tickDirection"), str):
        fields["tick_direction"] = direction
    rows: list[Data] = [Ticker(symbol=symbol, ts=ts, is_snapshot=type_ == "snapshot", **fields)]
    if next_funding_ms is not None or not FUNDING.isdisjoint(numbers):
        rows.append(_funding(symbol, ts, numbers, next_funding_ms))
    if "open_interest" in numbers:
        rows.append(_open_interest(symbol, ts, numbers))
    return rows


def _funding(
    symbol: str, ts: int, numbers: Mapping[str, Decimal], next_funding_ms: int | None
) -> Funding:
    return Funding(
        symbol=symbol,
        ts=ts,
        funding_rate=numbers.get("funding_rate"),
        next_funding_ms=next_funding_ms,
        interval_hours=numbers.get("funding_interval_hour"),
        mark_price=numbers.get("mark_price"),
        index_price=numbers.get("index_price"),
    )


def _open_interest(symbol: str, ts: int, numbers: Mapping[str, Decimal]) -> OpenInterest:
    return OpenInterest(
        symbol=symbol,
        ts=ts,
        open_interest=numbers["open_interest"],
        value=numbers.get("open_interest_value"),
    )


def _next_funding_ms(told: Mapping[str, Any]) -> int | None:
    """Return the time, or None where the venue has none and says so by leaving it out or by 0."""
    if "nextFundingTime" not in told:
        return None
    ms = number("nextFundingTime", told["nextFundingTime"])
    if ms != int(ms) or not 0 <= ms <= MILLIS_MAX:
        raise ValueError(f"nextFundingTime: {ms} is no time in ms")
    return int(ms) or None
