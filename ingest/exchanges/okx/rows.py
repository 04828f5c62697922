"""OKX's shapes to our rows. Sizes stay as told: contracts on derivatives (``contracts.py``)."""

import re
from collections.abc import Sequence
from decimal import Decimal

from msgspec import ValidationError, convert

from ingest.decimals import digits
from ingest.exchanges.base import BookRow, TradeRow
from ingest.exchanges.okx import shapes
from ingest.exchanges.okx.shapes import UNIT_MS, Number, TimeMs, decimal
from schemas.trades import BUY, SELL, Flag
from schemas.updates import Funding, Liquidation, OpenInterest, Ticker, VenueKline

HOUR_MS = 3_600_000
CANDLE_COLUMNS_MIN = 7  # ts, o, h, l, c, vol, volCcy; since 2023 also volCcyQuote and confirm
_NUMBER = r"[0-9]{1,30}+(?:\.[0-9]{1,30}+)?+"
_NUMBERS = re.compile(f"{_NUMBER}(?::{_NUMBER})*+")
_CANDLE = re.compile(r"candle(?P<name>(?P<count>[0-9]{1,2})(?P<unit>[smHDWM])(?:utc)?)")


def is_spot(symbol: str) -> bool:
    """BTC-USDT, not BTC-USDT-SWAP or BTC-USD-260925."""
    return symbol.count("-") == 1


def trade(told: shapes.Trade, kind: str) -> TradeRow:
    """Return a trade; the one pushed on subscribing may be hours old, and nothing in it says so."""
    try:
        price, price_scale = digits(told.px)
        qty, qty_scale = digits(told.sz)
    except ValueError as e:
        raise ValueError(f"px {told.px!r:.40}, sz {told.sz!r:.40}: {e}") from e
    id_ = told.tradeId
    if told.count > id_ + 1:
        raise ValueError(f"count: {told.count} trades cannot end at id {id_}")
    return TradeRow(
        kind,
        told.instId,
        id_,
        told.ts,
        price,
        price_scale,
        qty,
        qty_scale,
        BUY if told.side == "buy" else SELL,
        Flag.RPI.value if told.source == "1" else 0,
        id_ - told.count + 1,
        id_,
    )


def book(symbol: str, channel: str, told: shapes.Depth, *, is_snapshot: bool) -> BookRow:
    """Return a book's snapshot or update; without seqId (before 2023) its time is its id."""
    has_ids = told.seqId is not None
    last_id = told.seqId if told.seqId is not None else told.ts
    return BookRow(
        symbol,
        told.ts,
        is_snapshot,
        last_id,
        last_id,
        told.prevSeqId if has_ids and not is_snapshot else None,
        _levels(told.bids),
        _levels(told.asks),
        told.checksum or None,
        channel,
    )


def _levels(levels: Sequence[tuple[str, ...]]) -> list[tuple[str, str]]:
    try:
        told = [(level[0], level[1]) for level in levels]
    except IndexError as e:
        raise ValueError("a level without a quantity") from e
    # All at once: a match per number takes five times as long.
    numbers = ":".join(map(":".join, told))
    if told and not (_NUMBERS.fullmatch(numbers) and numbers.count(":") == 2 * len(told) - 1):
        raise ValueError(f"levels that are no decimal numbers: {numbers:.60}")
    return told


def ticker(told: shapes.Ticker) -> Ticker:
    """Return a ticker; the last and best sizes are in contracts on derivatives, no other field."""
    of_spot = is_spot(told.instId)
    return Ticker(
        symbol=told.instId,
        ts=told.ts,
        is_snapshot=True,
        last_price=decimal(told.last),
        last_size=decimal(told.lastSz),
        prev_price_24h=decimal(told.open24h),
        high_price_24h=decimal(told.high24h),
        low_price_24h=decimal(told.low24h),
        volume_24h=decimal(told.vol24h if of_spot else told.volCcy24h),
        turnover_24h=decimal(told.volCcy24h) if of_spot else None,
        bid1_price=decimal(told.bidPx),
        bid1_size=decimal(told.bidSz),
        ask1_price=decimal(told.askPx),
        ask1_size=decimal(told.askSz),
    )


def funding_rate(told: shapes.FundingRate) -> Funding:
    """Return the rate that will be paid next; its own time is 0 in frames before 2023."""
    due_ms, after_ms = _millis(told.fundingTime), _millis(told.nextFundingTime)
    hours = None
    if due_ms is not None and after_ms is not None and after_ms > due_ms:
        hours = Decimal(after_ms - due_ms) / HOUR_MS
    return Funding(
        symbol=told.instId,
        ts=told.ts or 0,
        funding_rate=decimal(told.fundingRate),
        next_funding_ms=due_ms,
        interval_hours=hours,
    )


def mark_price(told: shapes.MarkPrice) -> Funding:
    """Return the mark price alone."""
    return Funding(symbol=told.instId, ts=told.ts, mark_price=Decimal(told.markPx))


def index_price(told: shapes.IndexTicker) -> Funding:
    """Return the index price alone, as that of the swap which follows the index."""
    return Funding(symbol=f"{told.instId}-SWAP", ts=told.ts, index_price=Decimal(told.idxPx))


def open_interest(told: shapes.OpenInterest) -> OpenInterest:
    """Return the open interest; the venue tells its value in USD, not in the quote coin."""
    return OpenInterest(symbol=told.instId, ts=told.ts, open_interest=Decimal(told.oiCcy))


def liquidation(symbol: str, told: shapes.LiquidationDetail) -> Liquidation:
    """Return a forced order; history comes first on subscribing, and nothing in it says so."""
    return Liquidation(
        symbol=symbol,
        ts=told.ts,
        side=BUY if told.side == "buy" else SELL,
        price=Decimal(told.bkPx),
        qty=Decimal(told.sz),
    )


def interval(channel: str) -> tuple[str, int]:
    """Return the name of a candle channel's interval, and its length in ms."""
    found = _CANDLE.fullmatch(channel)
    if found is None:
        raise ValueError("unknown interval")
    return found["name"], int(found["count"]) * UNIT_MS[found["unit"]]


def candle(symbol: str, name: str, interval_ms: int, columns: Sequence[str]) -> VenueKline:
    """Return a candle; its volume is already in base coins.

    The venue tells no time of the update, so ``ts`` is the earliest that it can be.
    """
    if not symbol:
        raise ValueError("arg: no instId")
    if len(columns) < CANDLE_COLUMNS_MIN:
        raise ValueError(f"a candle of {len(columns)} columns")
    try:
        open_ms = convert(columns[0], TimeMs, strict=False)
        numbers = convert(columns[1:8], list[Number])
    except ValidationError as e:
        raise ValueError(f"candle: {e}") from e
    o, h, l, c, vol, vol_ccy, *vol_quote = map(Decimal, numbers)  # noqa: E741
    of_spot = is_spot(symbol)
    closed = len(columns) > 8 and columns[8] == "1"
    quote = vol_ccy if of_spot else next(iter(vol_quote), None)
    return VenueKline(
        symbol=symbol,
        interval=interval_ms,
        name=name,
        timestamp=open_ms,
        open=o,
        high=h,
        low=l,
        close=c,
        volume=vol if of_spot else vol_ccy,
        closed=closed,
        ts=open_ms + interval_ms if closed else open_ms,
        quote_volume=quote,
    )


def _millis(told: str) -> int | None:
    return convert(told, TimeMs, strict=False) if told else None
