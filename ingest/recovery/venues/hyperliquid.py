"""Hyperliquid's past: the newest trades; there is no range of times.

https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/rate-limits-and-user-limits
"""

import json
from collections.abc import Sequence

from msgspec import Raw

from ingest.exchanges.base import Request, TradeRow
from ingest.exchanges.hyperliquid.rows import trade_rows
from ingest.recovery.past import Newest

WEIGHT = 20 + 5  # one more for each 20 rows
ROWS_MAX = 100


def _request(coin: str) -> Request:
    body = json.dumps({"type": "recentTrades", "coin": coin}).encode()
    return Request(path="/info", weight=WEIGHT, body=body)


def _read(body: bytes, _symbol: str) -> Sequence[TradeRow]:
    if body.strip() == b"null":
        raise ValueError("the coin is unknown")
    return sorted(trade_rows(Raw(body)), key=lambda row: row.ts)


PAST = Newest(request=_request, read=_read, page_rows_max=ROWS_MAX)
