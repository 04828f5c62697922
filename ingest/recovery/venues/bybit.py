"""Bybit's past: the newest trades, without a cursor.

https://bybit-exchange.github.io/docs/v5/market/recent-trade
"""

from collections.abc import Callable, Sequence
from typing import Literal
from urllib.parse import quote

from msgspec import Struct, field, json

from ingest.exchanges.base import Request, TradeRow
from ingest.exchanges.bybit.fields import Id, Text, TimeMs
from ingest.exchanges.bybit.trades import Trade, trade_row
from ingest.recovery.past import Newest

SPOT_ROWS_MAX = 60
LINEAR_ROWS_MAX = 1_000


class _Trade(Struct, gc=False):
    execId: Text  # noqa: N815 - the venue's names, here and below
    symbol: Text
    price: str
    size: str
    side: Literal["Buy", "Sell"]
    time: TimeMs
    isBlockTrade: bool = False  # noqa: N815
    isRPITrade: bool = False  # noqa: N815
    seq: Id = 0


class _Result(Struct, gc=False):
    trades: list[_Trade] | None = field(default=None, name="list")
    """Not there in the answer to what cannot be asked."""


class _Answer(Struct, gc=False):
    retCode: int  # noqa: N815
    retMsg: str = ""  # noqa: N815
    result: _Result | None = None


_answer = json.Decoder(_Answer, strict=False).decode  # its integers are text


def _read(body: bytes, _symbol: str) -> Sequence[TradeRow]:
    answer = _answer(body)
    found = answer.result.trades if answer.result is not None else None
    if answer.retCode or found is None:
        raise ValueError(f"retCode {answer.retCode}: {answer.retMsg:.80}")
    return [
        trade_row(
            Trade(
                T=t.time,
                s=t.symbol,
                S=t.side,
                v=t.size,
                p=t.price,
                i=t.execId,
                BT=t.isBlockTrade,
                RPI=t.isRPITrade,
                seq=t.seq,
            )
        )
        for t in reversed(found)
    ]


def _newest(category: str, rows: int) -> Callable[[str], Request]:
    path = f"/v5/market/recent-trade?category={category}&limit={rows}&symbol="
    return lambda symbol: Request(path=path + quote(symbol), weight=1)


SPOT = Newest(request=_newest("spot", SPOT_ROWS_MAX), read=_read, page_rows_max=SPOT_ROWS_MAX)
LINEAR = Newest(
    request=_newest("linear", LINEAR_ROWS_MAX), read=_read, page_rows_max=LINEAR_ROWS_MAX
)
