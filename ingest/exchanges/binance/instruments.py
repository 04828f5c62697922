"""Binance exchangeInfo to instruments, and the 24h tickers to numbers of trades."""

from collections.abc import Sequence

from msgspec import DecodeError, Raw, Struct, json

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
    symbols: list[Raw]


class _Ticker(Struct):
    symbol: str
    count: int = 0


_decode_info = json.Decoder(_ExchangeInfo).decode
_decode_symbol = json.Decoder(_Symbol).decode
_decode_tickers = json.Decoder(list[_Ticker]).decode


def spot_instruments(bodies: Sequence[bytes]) -> list[Instrument]:
    """Read spot exchangeInfo; what trades is streamed."""
    return [
        _instrument(s, f"{s.baseAsset}/{s.quoteAsset}", is_streamed=s.status == "TRADING")
        for body in bodies
        for s in _symbols(body)
    ]


def linear_instruments(bodies: Sequence[bytes]) -> list[Instrument]:
    """Read USD-M exchangeInfo; perpetuals that trade are streamed, dated contracts are not."""
    return [
        _instrument(
            s,
            f"{s.baseAsset}/{s.quoteAsset}:{s.marginAsset or s.quoteAsset}",
            is_streamed=s.status == "TRADING" and s.contractType in PERPETUALS,
        )
        for body in bodies
        for s in _symbols(body)
    ]


def trade_counts(body: bytes) -> dict[str, float]:
    """Read ticker/24hr into trades per symbol."""
    try:
        return {t.symbol: t.count for t in _decode_tickers(body)}
    except (DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Poison(f"not the 24h tickers of Binance: {e}", payload=body) from e


def _symbols(body: bytes) -> list[_Symbol]:
    """Return the symbols that can be read; where there are some but none can, that is the error."""
    try:
        listed = _decode_info(body).symbols
    except (DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Poison(f"not the exchangeInfo of Binance: {e}", payload=body) from e
    symbols, reason = [], ""
    for raw in listed:
        try:
            symbols.append(_symbol(raw))
        except (ValueError, RecursionError) as e:  # msgspec's errors are ValueErrors
            reason = str(e)
    if reason and not symbols:
        raise Poison(f"no symbol in the exchangeInfo of Binance: {reason}", payload=body)
    return symbols


def _symbol(raw: Raw) -> _Symbol:
    symbol = _decode_symbol(raw)
    for step in _steps(symbol):
        scale_of(step)
    if not symbol.symbol:
        raise ValueError("a symbol without a name")
    return symbol


def _steps(symbol: _Symbol) -> tuple[str, str]:
    """Return the steps of price and quantity."""
    filters = {f.filterType: f for f in symbol.filters}
    price, lot = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    return price.tickSize if price else "1", lot.stepSize if lot else "1"


def _instrument(symbol: _Symbol, unified: str, *, is_streamed: bool) -> Instrument:
    tick, step = _steps(symbol)
    return Instrument(
        symbol=symbol.symbol,
        unified=unified,
        status=symbol.status,
        is_streamed=is_streamed,
        price_scale=scale_of(tick),
        qty_scale=scale_of(step),
        tick=tick,
        step=step,
    )
