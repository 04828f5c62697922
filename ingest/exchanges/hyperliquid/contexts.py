"""``activeAssetCtx`` to a ticker, the funding and the open interest: three rows of one frame.

The venue tells no time here, so ``ts`` is 0, which means not told. Nor does
it tell a last price: ``midPx`` is the middle of the book.
"""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Raw, Struct
from msgspec.json import Decoder

from ingest.exchanges.hyperliquid.numbers import number_if_told
from ingest.exchanges.hyperliquid.rows import Text
from schemas.updates import Funding, OpenInterest, Ticker

FUNDING_INTERVAL_H = Decimal(1)  # eight hours until 2023-06-08
NOT_TOLD_MS = 0


class _Context(Struct, gc=False):
    funding: str | None = None
    openInterest: str | None = None  # noqa: N815 - the venue's names
    prevDayPx: str | None = None  # noqa: N815
    dayNtlVlm: str | None = None  # noqa: N815
    dayBaseVlm: str | None = None  # noqa: N815
    oraclePx: str | None = None  # noqa: N815
    markPx: str | None = None  # noqa: N815


class _AssetContext(Struct, gc=False):
    coin: Text
    ctx: _Context


_decode = Decoder(_AssetContext).decode


def context_rows(data: Raw) -> Sequence[Ticker | Funding | OpenInterest]:
    """Return what the frame tells; a number that is not there is left out, not made up."""
    asset = _decode(data)
    coin, ctx = asset.coin, asset.ctx
    mark, index = number_if_told("markPx", ctx.markPx), number_if_told("oraclePx", ctx.oraclePx)
    funding = number_if_told("funding", ctx.funding)
    interest = number_if_told("openInterest", ctx.openInterest)
    rows: list[Ticker | Funding | OpenInterest] = [
        Ticker(
            symbol=coin,
            ts=NOT_TOLD_MS,
            is_snapshot=True,
            prev_price_24h=number_if_told("prevDayPx", ctx.prevDayPx),
            volume_24h=number_if_told("dayBaseVlm", ctx.dayBaseVlm),
            turnover_24h=number_if_told("dayNtlVlm", ctx.dayNtlVlm),
            mark_price=mark,
            index_price=index,
            open_interest=interest,
            funding_rate=funding,
            funding_interval_hour=FUNDING_INTERVAL_H,
        )
    ]
    if funding is not None:
        rows.append(
            Funding(
                symbol=coin,
                ts=NOT_TOLD_MS,
                funding_rate=funding,
                interval_hours=FUNDING_INTERVAL_H,
                mark_price=mark,
                index_price=index,
            )
        )
    if interest is not None:
        rows.append(OpenInterest(symbol=coin, ts=NOT_TOLD_MS, open_interest=interest))
    return rows
