"""Kraken's past: ``Trades`` from a time on, all of it, a page telling where the next begins.

Times are JSON numbers with up to seven decimals, which a float would not hold.
https://docs.kraken.com/api/docs/rest-api/get-recent-trades
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal
from urllib.parse import quote

from msgspec import Raw, Struct, json

from ingest.decimals import digits
from ingest.exchanges.base import Request, TradeRow
from ingest.exchanges.kraken.numbers import MS_END, MS_MIN, exact
from ingest.exchanges.kraken.rows import Id
from ingest.recovery.past import ByTime
from schemas.trades import BUY, SELL

KIND = "trade"
PAGE_ROWS_MAX = 1_000
Told = tuple[str, str, Raw, Literal["b", "s"], str, str, Id]
"""Price, volume, seconds, side, order type, miscellaneous, id."""


class _Answer(Struct, gc=False):
    error: list[str]
    result: dict[str, Raw] = {}


_answer = json.Decoder(_Answer).decode
_rows = json.Decoder(list[Told]).decode
_text = json.Decoder(str).decode


def _read(body: bytes, symbol: str) -> tuple[Sequence[TradeRow], str]:
    answer = _answer(body)
    if answer.error or "last" not in answer.result:
        raise ValueError(f"error: {answer.error!r:.80}")
    cursor = _text(answer.result["last"])
    (told,) = [rows for name, rows in answer.result.items() if name != "last"]
    return [_row(one, symbol) for one in _rows(told)], cursor


def _row(told: Told, symbol: str) -> TradeRow:
    price, price_scale = digits(told[0])
    qty, qty_scale = digits(told[1])
    ms = int(exact("time", told[2]) * Decimal(1_000))  # cut, as the stream's
    if not MS_MIN <= ms < MS_END:
        raise ValueError(f"time: {ms} is no time in ms")
    return TradeRow(
        KIND,
        symbol,
        told[6],
        ms,
        price,
        price_scale,
        qty,
        qty_scale,
        BUY if told[3] == "b" else SELL,
        0,
        told[6],
        told[6],
    )


def _request(symbol: str, cursor: str) -> Request:
    path = f"/0/public/Trades?pair={quote(symbol)}&assetVersion=1&since={cursor}"
    return Request(path=f"{path}&count={PAGE_ROWS_MAX}", weight=1)


PAST = ByTime(
    begin=lambda from_ms: str(from_ms * 1_000_000 - 1),  # what comes after it
    request=_request,
    read=_read,
    page_rows_max=PAGE_ROWS_MAX,
)
