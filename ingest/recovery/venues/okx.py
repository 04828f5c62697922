"""OKX's past: ``history-trades``, one by one, newest first, older than an id or a time.

Ids are dense, so "the hundred before id + 100" are exactly those from the id on.
https://www.okx.com/docs-v5/en/#public-data-rest-api-get-trades-history
"""

from collections.abc import Sequence
from urllib.parse import quote

from msgspec import Struct, json

from ingest.exchanges.base import Request, TradeRow
from ingest.exchanges.okx.rows import trade
from ingest.exchanges.okx.shapes import Trade
from ingest.recovery.past import ByIds

PAGE_ROWS_MAX = 100
PATH = "/api/v5/market/history-trades"
KIND = "trades"


class _Answer(Struct, gc=False):
    data: list[Trade]
    code: str
    msg: str = ""


_answer = json.Decoder(_Answer, strict=False).decode


def _trades(body: bytes) -> list[Trade]:
    answer = _answer(body)
    if answer.code != "0":
        raise ValueError(f"code {answer.code}: {answer.msg:.80}")
    return answer.data


def _read(body: bytes, _symbol: str) -> Sequence[TradeRow]:
    return [trade(one, KIND) for one in sorted(_trades(body), key=lambda one: one.tradeId)]


def _read_located(body: bytes) -> int | None:
    """Return the id after the last trade before the time."""
    found = _trades(body)
    return found[0].tradeId + 1 if found else None


PAST = ByIds(
    request=lambda symbol, from_id: Request(
        path=f"{PATH}?instId={quote(symbol)}&type=1&after={from_id + PAGE_ROWS_MAX}"
        f"&limit={PAGE_ROWS_MAX}",
        weight=1,
    ),
    read=_read,
    page_rows_max=PAGE_ROWS_MAX,
    is_window=True,
    locate=lambda symbol, from_ms: Request(
        path=f"{PATH}?instId={quote(symbol)}&type=2&after={from_ms}&limit=1", weight=1
    ),
    read_located=_read_located,
)
