"""The bodies of instruments-info and tickers, in the venue's own key order."""

from simulator.exchange import Exchange
from simulator.numbers import decimal_text, trimmed
from simulator.symbols import Symbol
from simulator.venues.bybit.texts import price_text, qty_text
from simulator.venues.bybit.tickers import best, bid_of, common, derivative
from simulator.venues.bybit.trades import sequence

Json = dict[str, object]
TRADING = "Trading"
PRE_LAUNCH = "PreLaunch"
LAUNCHED_MS = 1_585_526_400_000
DELIVERED_MS = 1_798_185_600_000  # 2026-12-25, 08:00


def idle(channel: str) -> list[Symbol]:
    """Return what is listed beside: a dated future, and a contract before its launch."""
    if channel == "spot":
        return []
    return [
        Symbol("BTCUSDT-25DEC26", "BTC", "USDT", 2, 10, 3, 7_000_000, TRADING),
        Symbol("BIOUSDT", "BIO", "USDT", 4, 1, 0, 7_000, PRE_LAUNCH),
    ]


def instrument(symbol: Symbol, *, is_linear: bool) -> Json:
    """Return one instrument."""
    return _contract(symbol) if is_linear else _pair(symbol)


def _pair(symbol: Symbol) -> Json:
    return {
        "symbol": symbol.name,
        "baseCoin": symbol.base,
        "quoteCoin": symbol.quote,
        "innovation": "0",
        "status": symbol.status,
        "marginTrading": "utaOnly",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": decimal_text(symbol.lot, symbol.qty_scale),
            "quotePrecision": "0.0000001",
            "minOrderQty": decimal_text(symbol.lot, symbol.qty_scale),
            "maxOrderQty": "1000000",
            "minOrderAmt": "5",
            "maxOrderAmt": "8000000",
            "maxLimitOrderQty": "1000000",
            "maxMarketOrderQty": "500000",
        },
        "priceFilter": {"tickSize": trimmed(decimal_text(symbol.tick, symbol.price_scale))},
        "riskParameters": {"priceLimitRatioX": "0.005", "priceLimitRatioY": "0.01"},
        "symbolType": "",
    }


def _contract(symbol: Symbol) -> Json:
    tick = decimal_text(symbol.tick, symbol.price_scale)
    step = decimal_text(symbol.lot, symbol.qty_scale)
    is_dated, is_early = "-" in symbol.name, symbol.status == PRE_LAUNCH
    return {
        "symbol": symbol.name,
        "contractType": "LinearFutures" if is_dated else "LinearPerpetual",
        "status": symbol.status,
        "baseCoin": symbol.base,
        "quoteCoin": symbol.quote,
        "launchTime": str(LAUNCHED_MS),
        "deliveryTime": str(DELIVERED_MS if is_dated else 0),
        "deliveryFeeRate": "0.0005" if is_dated else "",
        "priceScale": str(symbol.price_scale),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": "1999999.80", "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": "1000000",
            "minOrderQty": step,
            "qtyStep": step,
            "postOnlyMaxOrderQty": "1000000",
            "maxMktOrderQty": "500000",
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 0 if is_dated else 480,
        "settleCoin": symbol.quote,
        "copyTrading": "none" if is_early else "both",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": is_early,
        "preListingInfo": {"curAuctionPhase": "CallAuction", "phases": []} if is_early else None,
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
        "symbolType": "",
    }


def ticker(exchange: Exchange, symbol: Symbol, now_ms: int, *, is_linear: bool) -> Json:
    """Return one row of tickers; spot's has best prices here, unlike its stream's."""
    state, bid = exchange.state(symbol.name, now_ms), bid_of(exchange, symbol)
    told: Json = {"symbol": symbol.name, **common(symbol, state, bid, is_linear=is_linear)}
    told |= best(exchange, symbol, is_linear=is_linear)
    if not is_linear:
        return told | {"usdIndexPrice": price_text(symbol, state.index, is_linear=False)}
    empty = ("predictedDeliveryPrice", "basisRate", "deliveryFeeRate", "basis", "basisRateYear")
    return told | derivative(symbol, state) | dict.fromkeys(empty, "") | {"deliveryTime": "0"}


def order_book(exchange: Exchange, symbol: Symbol, depth: int, now_ms: int, **how: bool) -> Json:
    """Return so many levels of a book."""
    book = exchange.book(symbol.name)
    bids, asks = (
        [[price_text(symbol, p, **how), qty_text(symbol, q, **how)] for p, q in side]
        for side in book.top(depth)
    )
    made_ms = book.ts_ms or now_ms
    return {
        "s": symbol.name,
        "a": asks,
        "b": bids,
        "ts": max(now_ms, made_ms),
        "u": book.number + 1,
        "seq": sequence(made_ms),
        "cts": made_ms,
    }


def open_interest(exchange: Exchange, name: str, now_ms: int) -> Json:
    """Return the open interest of a contract."""
    told = derivative(exchange.ledgers[name].symbol, exchange.state(name, now_ms))
    return {key: told[key] for key in ("openInterest", "singleOpenInterest")}
