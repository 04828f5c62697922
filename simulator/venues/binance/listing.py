"""The bodies of exchangeInfo and ticker/24hr, in the venue's own key order."""

from simulator.exchange import Exchange
from simulator.numbers import decimal_text
from simulator.symbols import Symbol
from simulator.venues.binance.market import Market

DAY_MS = 86_400_000
NEVER_DELIVERED_MS = 4_133_404_800_000
ONBOARD_MS = 1_569_398_400_000

Json = dict[str, object]


def _limit(kind: str, interval: str, number: int, limit: int) -> Json:
    return {
        "rateLimitType": kind,
        "interval": interval,
        "intervalNum": number,
        "limit": limit,
    }


def exchange_info(market: Market, symbols: list[Symbol], now_ms: int) -> Json:
    """``exchangeInfo`` of the given symbols."""
    weight = _limit("REQUEST_WEIGHT", "MINUTE", 1, market.weight_per_minute)
    if market.is_spot:
        return {
            "timezone": "UTC",
            "serverTime": now_ms,
            "rateLimits": [
                weight,
                _limit("ORDERS", "SECOND", 10, 100),
                _limit("ORDERS", "DAY", 1, 200_000),
                _limit("RAW_REQUESTS", "MINUTE", 5, 61_000),
            ],
            "exchangeFilters": [],
            "symbols": [_spot_symbol(market, symbol) for symbol in symbols],
        }
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            weight,
            _limit("ORDERS", "MINUTE", 1, 1_200),
            _limit("ORDERS", "SECOND", 10, 300),
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [_linear_symbol(market, symbol) for symbol in symbols],
    }


def _spot_symbol(market: Market, symbol: Symbol) -> Json:
    tick, step = market.price_text(symbol, symbol.tick), market.qty_text(symbol, 1)
    whole = 10**symbol.price_scale
    price_max = market.price_text(symbol, 1_000_000 * whole)
    filters: list[Json] = [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": price_max, "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000000.00000000", "stepSize": step},
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": "0.00000000",
            "maxQty": "90000.00000000",
            "stepSize": "0.00000000",
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": "5.00000000",
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
    ]
    return {
        "symbol": symbol.name,
        "status": symbol.status,
        "baseAsset": symbol.base,
        "baseAssetPrecision": 8,
        "quoteAsset": symbol.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": True,
        "filters": filters,
        "permissions": [],
        "permissionSets": [["SPOT", "MARGIN"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def _linear_symbol(market: Market, symbol: Symbol) -> Json:
    tick, step = market.price_text(symbol, symbol.tick), market.qty_text(symbol, 1)
    lot = {"maxQty": "1000000", "minQty": step, "stepSize": step}
    filters: list[Json] = [
        {"filterType": "PRICE_FILTER", "maxPrice": "4529764", "minPrice": tick, "tickSize": tick},
        {"filterType": "LOT_SIZE", **lot},
        {"filterType": "MARKET_LOT_SIZE", **lot},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
        {"filterType": "MIN_NOTIONAL", "notional": "5"},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierDecimal": "4",
            "multiplierDown": "0.9500",
            "multiplierUp": "1.0500",
        },
    ]
    return {
        "symbol": symbol.name,
        "pair": symbol.name,
        "contractType": "PERPETUAL" if symbol.status == "TRADING" else "",
        "deliveryDate": NEVER_DELIVERED_MS,
        "onboardDate": ONBOARD_MS,
        "status": symbol.status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": symbol.base,
        "quoteAsset": symbol.quote,
        "marginAsset": symbol.quote,
        "pricePrecision": symbol.price_scale,
        "quantityPrecision": symbol.qty_scale,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["Layer-1"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": filters,
        "orderTypes": [
            "LIMIT",
            "MARKET",
            "STOP",
            "STOP_MARKET",
            "TAKE_PROFIT",
            "TAKE_PROFIT_MARKET",
            "TRAILING_STOP_MARKET",
        ],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def ticker_24h(exchange: Exchange, market: Market, name: str, now_ms: int) -> Json:
    """``ticker/24hr`` of one symbol, over all the simulated time."""
    state = exchange.state(name, now_ms)
    symbol, price, qty = state.symbol, market.price_text, market.qty_text
    average = state.turnover // state.volume if state.volume else 0
    return {
        "symbol": symbol.name,
        "priceChange": price(symbol, state.change),
        "priceChangePercent": decimal_text(state.change_e5, 3, 3),
        "weightedAvgPrice": price(symbol, average),
        "lastPrice": price(symbol, state.last),
        "lastQty": qty(symbol, state.last_qty),
        "openPrice": price(symbol, state.open),
        "highPrice": price(symbol, state.high),
        "lowPrice": price(symbol, state.low),
        "volume": qty(symbol, state.volume),
        "quoteVolume": market.total_text(symbol, state.turnover),
        "openTime": now_ms - DAY_MS,
        "closeTime": now_ms,
        "firstId": state.first_trade_id,
        "lastId": state.last_trade_id,
        "count": state.trades,
    }


def premium_index(exchange: Exchange, name: str, now_ms: int) -> Json:
    """``premiumIndex`` of one symbol, USD-M only."""
    state = exchange.state(name, now_ms)
    scale = state.symbol.price_scale
    return {
        "symbol": name,
        "markPrice": decimal_text(state.mark, scale, 8),
        "indexPrice": decimal_text(state.index, scale, 8),
        "estimatedSettlePrice": decimal_text(state.index, scale, 8),
        "lastFundingRate": decimal_text(state.funding_rate, 8),
        "interestRate": "0.00010000",
        "nextFundingTime": state.next_funding_ms,
        "time": now_ms,
    }


def open_interest(exchange: Exchange, market: Market, name: str, now_ms: int) -> Json:
    """``openInterest`` of one symbol, USD-M only."""
    state = exchange.state(name, now_ms)
    return {
        "symbol": name,
        "openInterest": market.qty_text(state.symbol, state.open_interest),
        "time": now_ms,
    }
