"""The bodies of exchangeInfo and ticker/24hr, in the venue's own key order."""

import numpy as np

from simulator.exchange import Exchange
from simulator.ledger import Ledger
from simulator.symbols import Symbol
from simulator.venue import Venue, decimal_text

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


def exchange_info(exchange: Exchange, symbols: list[Symbol], now_ms: int) -> Json:
    """``exchangeInfo`` of the given symbols."""
    spot = exchange.market == "spot"
    weight = _limit("REQUEST_WEIGHT", "MINUTE", 1, exchange.venue.weight_per_minute)
    if spot:
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
            "symbols": [_spot_symbol(exchange.venue, symbol) for symbol in symbols],
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
        "symbols": [_linear_symbol(exchange.venue, symbol) for symbol in symbols],
    }


def _spot_symbol(venue: Venue, symbol: Symbol) -> Json:
    tick, step = venue.price_text(symbol, symbol.tick), venue.qty_text(symbol, 1)
    whole = 10**symbol.price_scale
    price_max = venue.price_text(symbol, 1_000_000 * whole)
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


def _linear_symbol(venue: Venue, symbol: Symbol) -> Json:
    tick, step = venue.price_text(symbol, symbol.tick), venue.qty_text(symbol, 1)
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


def ticker_24h(exchange: Exchange, ledger: Ledger, now_ms: int) -> Json:
    """``ticker/24hr`` of one symbol, over the rows that are kept."""
    venue, symbol = exchange.venue, ledger.symbol
    price, qty = np.frombuffer(ledger.price, np.int64), np.frombuffer(ledger.qty, np.int64)
    some = len(price) > 0
    first, last = (int(price[0]), int(price[-1])) if some else (0, 0)
    volume, turnover = int(qty.sum()), int((price * qty).sum())
    average = turnover // volume if volume else 0
    trades = int(np.frombuffer(ledger.trades, np.int32).sum())
    change = last - first
    basis_points = abs(change) * 100_000 // first if first else 0
    sign = "-" if change < 0 else ""
    quote_scale = symbol.price_scale + symbol.qty_scale
    quote = venue.quote_text(symbol, turnover)
    if exchange.market == "linear":  # two decimals there, cut
        quote = decimal_text(turnover * 100 // 10**quote_scale, 2, 2)
    return {
        "symbol": symbol.name,
        "priceChange": sign + venue.price_text(symbol, abs(change)),
        "priceChangePercent": sign + decimal_text(basis_points, 3, 3),
        "weightedAvgPrice": venue.price_text(symbol, average),
        "lastPrice": venue.price_text(symbol, last),
        "lastQty": venue.qty_text(symbol, int(qty[-1]) if some else 0),
        "openPrice": venue.price_text(symbol, first),
        "highPrice": venue.price_text(symbol, int(price.max()) if some else 0),
        "lowPrice": venue.price_text(symbol, int(price.min()) if some else 0),
        "volume": venue.qty_text(symbol, volume),
        "quoteVolume": quote,
        "openTime": now_ms - DAY_MS,
        "closeTime": now_ms,
        "firstId": ledger.first[0] if some else -1,
        "lastId": ledger.first[-1] + ledger.trades[-1] - 1 if some else -1,
        "count": trades,
    }
