"""Bybit's instruments and their turnover, from the bodies of its REST API.

The list holds what trades, page after page; contracts before their launch are asked for apart.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from msgspec import Raw, Struct, json

from ingest.exchanges.base import Instrument, Request
from ingest.exchanges.bybit.fields import number
from runtime.errors import Poison
from schemas.numbers import scale_of

PAGE_ROWS = 1_000
PERPETUAL = "LinearPerpetual"
PRE_LAUNCH = "PreLaunch"
# Of symbols whose turnover is in dollars.
DOLLARS = ("USDT", "USDC", "PERP", "USDE", "USD1", "RLUSD", "DAI")


class _Price(Struct):
    tickSize: str  # noqa: N815 - the venue's names


class _Lot(Struct):
    qtyStep: str = ""  # noqa: N815
    basePrecision: str = ""  # noqa: N815


class _Symbol(Struct):
    symbol: str
    status: str
    baseCoin: str  # noqa: N815
    quoteCoin: str  # noqa: N815
    priceFilter: _Price  # noqa: N815
    lotSizeFilter: _Lot  # noqa: N815
    contractType: str = ""  # noqa: N815
    settleCoin: str = ""  # noqa: N815
    deliveryTime: str = "0"  # noqa: N815


class _Ticker(Struct):
    symbol: str
    turnover24h: str = ""
    volume24h: str = ""
    usdIndexPrice: str = ""  # noqa: N815


class _Result(Struct):
    list: list[Raw]
    category: str = ""
    nextPageCursor: str = ""  # noqa: N815


class _Body(Struct):
    retCode: int  # noqa: N815
    result: Raw = Raw()
    retMsg: str = ""  # noqa: N815


_decode_body = json.Decoder(_Body).decode
_decode_result = json.Decoder(_Result).decode
_decode_symbol = json.Decoder(_Symbol).decode
_decode_ticker = json.Decoder(_Ticker).decode


def page(category: str, *, status: str = "", cursor: str = "") -> Request:
    """Return the request for one page of the instruments."""
    path = f"/v5/market/instruments-info?category={category}&limit={PAGE_ROWS}"
    path += f"&status={status}" if status else ""
    path += f"&cursor={quote(cursor, safe='')}" if cursor else ""
    return Request(path=path, weight=1)


def next_page(body: bytes) -> Request | None:
    """Return the request for the page after this one, or None after the last."""
    result = _result(body)
    symbols = _readable(result)
    if not (result.nextPageCursor and symbols):
        return None
    status = PRE_LAUNCH if all(s.status == PRE_LAUNCH for s in symbols) else ""
    return page(result.category, status=status, cursor=result.nextPageCursor)


def read_instruments(bodies: Sequence[bytes]) -> list[Instrument]:
    """Read every page; what trades is streamed, dated futures and what has not begun are not."""
    found: dict[str, Instrument] = {}
    for body in bodies:
        result = _result(body)
        for symbol in _readable(result):
            instrument = _instrument(symbol, is_spot=result.category == "spot")
            if instrument is not None:
                found.setdefault(instrument.symbol, instrument)
    return list(found.values())


def read_turnover(body: bytes) -> dict[str, float]:
    """Read the tickers into each symbol's turnover of a day, in dollars; 0 where it is unknown."""
    turnover: dict[str, float] = {}
    for row in _result(body).list:
        try:
            told = _decode_ticker(row)
            turnover[told.symbol] = _dollars(told)
        except ValueError:
            continue
    return turnover


def _dollars(told: _Ticker) -> float:
    if told.symbol.endswith(DOLLARS):
        return float(number("turnover24h", told.turnover24h or "0"))
    volume, price = told.volume24h or "0", told.usdIndexPrice or "0"
    return float(number("volume24h", volume) * number("usdIndexPrice", price))


def _result(body: bytes) -> _Result:
    try:
        told = _decode_body(body)
        if told.retCode != 0:
            raise Poison(f"Bybit answers {told.retCode}: {told.retMsg[:200]}", payload=body)
        return _decode_result(told.result)
    except (ValueError, RecursionError) as e:
        raise Poison(f"not a list of Bybit: {e}", payload=body) from e


def _readable(result: _Result) -> list[_Symbol]:
    found = []
    for row in result.list:
        try:
            found.append(_decode_symbol(row))
        except (ValueError, RecursionError):
            continue
    return found


def _instrument(told: _Symbol, *, is_spot: bool) -> Instrument | None:
    step = told.lotSizeFilter.basePrecision if is_spot else told.lotSizeFilter.qtyStep
    try:
        return Instrument(
            symbol=told.symbol,
            unified=_unified(told, is_spot=is_spot),
            status=told.status,
            is_streamed=told.status == "Trading" and (is_spot or told.contractType == PERPETUAL),
            price_scale=scale_of(told.priceFilter.tickSize),
            qty_scale=scale_of(step),
            tick=told.priceFilter.tickSize,
            step=step,
        )
    except (ValueError, OverflowError):  # the second: no calendar has such a date
        return None


def _unified(told: _Symbol, *, is_spot: bool) -> str:
    pair = f"{told.baseCoin}/{told.quoteCoin}"
    if is_spot:
        return pair
    pair += f":{told.settleCoin or told.quoteCoin}"
    if told.contractType == PERPETUAL:
        return pair
    delivery = datetime.fromtimestamp(int(number("deliveryTime", told.deliveryTime)) / 1000, UTC)
    return f"{pair}-{delivery:%y%m%d}"
