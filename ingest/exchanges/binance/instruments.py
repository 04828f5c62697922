"""Binance exchangeInfo to instruments, and the 24h tickers to numbers of trades."""

from msgspec import DecodeError, Struct, json

from ingest.exchanges.base import Instrument
from runtime.errors import Poison
from schemas.numbers import scale_of

# The second kind follows stocks and metals; its streams are the same.
PERPETUALS = {"PERPETUAL", "TRADIFI_PERPETUAL"}


class _Filter(Struct):
    filterType: str  # noqa: N815 - the venue's names
    tickSize: str = "1"  # noqa: N815
    stepSize: str = "1"  # noqa: N815


class _Symbol(Struct):
    symbol: str
    status: str
    baseAsset: str  # noqa: N815
    quoteAsset: str  # noqa: N815
    contractType: str = ""  # noqa: N815
    """Empty on a contract that does not trade yet (PENDING_TRADING)."""
    marginAsset: str = ""  # noqa: N815
    filters: list[_Filter] = []


class _ExchangeInfo(Struct):
    symbols: list[_Symbol]


class _Ticker(Struct):
    symbol: str
    count: int = 0


_decode_info = json.Decoder(_ExchangeInfo).decode
_decode_tickers = json.Decoder(list[_Ticker]).decode


def spot_instruments(body: bytes) -> list[Instrument]:
    """Read spot exchangeInfo; what trades is streamed."""
    return [
        _instrument(s, f"{s.baseAsset}/{s.quoteAsset}", is_streamed=s.status == "TRADING")
        for s in _symbols(body)
    ]


def linear_instruments(body: bytes) -> list[Instrument]:
    """Read USD-M exchangeInfo; perpetuals that trade are streamed, dated contracts are not."""
    return [
        _instrument(
            s,
            f"{s.baseAsset}/{s.quoteAsset}:{s.marginAsset or s.quoteAsset}",
            is_streamed=s.status == "TRADING" and s.contractType in PERPETUALS,
        )
        for s in _symbols(body)
    ]


def trade_counts(body: bytes) -> dict[str, int]:
    """Read ticker/24hr into trades per symbol."""
    try:
        return {t.symbol: t.count for t in _decode_tickers(body)}
    except (DecodeError, UnicodeDecodeError) as e:
        raise Poison(f"not the 24h tickers of Binance: {e}", payload=body) from e


def _symbols(body: bytes) -> list[_Symbol]:
    try:
        return _decode_info(body).symbols
    except (DecodeError, UnicodeDecodeError) as e:
        raise Poison(f"not the exchangeInfo of Binance: {e}", payload=body) from e


def _instrument(symbol: _Symbol, unified: str, *, is_streamed: bool) -> Instrument:
    filters = {f.filterType: f for f in symbol.filters}
    price, lot = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    return Instrument(
        symbol=symbol.symbol,
        unified=unified,
        status=symbol.status,
        is_streamed=is_streamed,
        price_scale=_scale(price.tickSize if price else "1", symbol),
        qty_scale=_scale(lot.stepSize if lot else "1", symbol),
    )


def _scale(step: str, symbol: _Symbol) -> int:
    try:
        return scale_of(step)
    except ValueError as e:
        raise Poison(f"step size of {symbol.symbol}: {e}", payload=step.encode()) from e
