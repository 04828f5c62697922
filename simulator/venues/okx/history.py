"""Past trades and candles over REST, newest first; ``after`` means older, ``before`` newer."""

import asyncio
from collections.abc import Mapping

from simulator.candles import fold, open_time
from simulator.ledger import Ledger
from simulator.venues.okx import rows
from simulator.venues.okx.channels import BARS_MS
from simulator.venues.okx.listing import Json
from simulator.venues.okx.parameters import RefusedError, limit_of, whole

BY_TIME = "2"


def trades(
    ledger: Ledger, query: Mapping[str, str], *, limit_max: int, oldest_ms: int = 0
) -> list[Json]:
    """Return the newest trades of those that are asked for, one by one; none that are too old."""
    limit = limit_of(query, 100, limit_max)
    after, before = whole(query, "after"), whole(query, "before")
    if query.get("type", "1") == BY_TIME:
        after = None if after is None else _trade_id_at(ledger, after)
        before = None if before is None else _trade_id_at(ledger, before + 1) - 1
    until = min(ledger.next_trade_id if after is None else after, ledger.next_trade_id)
    since = max(0 if before is None else before + 1, until - limit)
    low = max(ledger.row_of_trade(since), ledger.id_at(oldest_ms), ledger.first_id)
    high = ledger.row_of_trade(until - 1) + 1
    found = [
        rows.single(ledger.symbol, one)
        for row in ledger.rows(low, high)
        for one in rows.singles(ledger.symbol, row)
        if since <= one.id < until
    ]
    return found[::-1]


def _trade_id_at(ledger: Ledger, ts_ms: int) -> int:
    """Return the id of the first trade at that time or later."""
    row_id = ledger.id_at(ts_ms)
    found = ledger.rows(row_id, row_id + 1)
    return found[0].first if found else ledger.next_trade_id


async def candles(
    ledger: Ledger, query: Mapping[str, str], now_ms: int, *, limit_max: int
) -> list[list[str]]:
    """Return the newest candles of those that are asked for; none where nothing traded."""
    bar = query.get("bar", "1m")
    length_ms = BARS_MS.get(bar)
    if length_ms is None:
        raise RefusedError("51000", "Parameter bar error")
    limit = limit_of(query, 100, limit_max)
    after, before = whole(query, "after"), whole(query, "before")
    last_ms = open_time(now_ms if after is None else min(after - 1, now_ms), length_ms)
    first_ms = last_ms - (limit - 1) * length_ms
    if before is not None:
        first_ms = max(first_ms, open_time(before, length_ms) + length_ms)
    low, high = ledger.id_at(first_ms), ledger.id_at(last_ms + length_ms)
    part = ledger.copy(low, high)
    found = await asyncio.to_thread(lambda: fold(part.rows(low, high), length_ms))
    return [
        rows.candle(ledger.symbol, one, closed=one.open_ms + length_ms <= now_ms)
        for one in reversed(found)
        if one.open_ms >= ledger.complete_from_ms
    ]
