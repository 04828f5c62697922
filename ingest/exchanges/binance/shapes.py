"""What else Binance is known to send: recognised by name or by keys, and left alone.

Recordings mix these with the rows, and a socket may deliver them; a dead letter is for what
nobody can name.
"""

from collections.abc import Mapping

EVENTS = frozenset(
    {
        "continuous_kline",
        "indexPrice_kline",
        "markPrice_kline",
        "indexPriceUpdate",
        "assetIndexUpdate",
        "compositeIndex",
        "contractInfo",
        "tradingSession",
        "blockTrade",
        "avgPrice",
        "referencePrice",
        "24hrMiniTicker",
        "1hTicker",
        "4hTicker",
        "1dTicker",
    }
)

# Objects without an event name; the first row whose keys are all there names it.
OBJECTS: tuple[tuple[str, frozenset[str]], ...] = (
    ("depth_snapshot", frozenset({"lastUpdateId", "bids", "asks"})),
    ("bookTicker", frozenset({"u", "s", "b", "B", "a", "A"})),
    ("rest_exchange_info", frozenset({"symbols", "rateLimits"})),
    ("rest_agg_trade", frozenset({"a", "p", "q", "f", "l", "T"})),
    ("rest_trade", frozenset({"id", "price", "qty", "time"})),
    ("rest_open_interest", frozenset({"symbol", "openInterest"})),
    ("rest_open_interest_history", frozenset({"sumOpenInterest", "timestamp"})),
    ("rest_funding_rate", frozenset({"symbol", "fundingRate"})),
    ("rest_funding_info", frozenset({"symbol", "fundingIntervalHours"})),
    ("rest_mark_price", frozenset({"symbol", "markPrice"})),
    ("rest_ticker_24h", frozenset({"symbol", "openPrice", "volume"})),
    ("rest_book_ticker", frozenset({"symbol", "bidPrice", "askPrice"})),
    ("rest_price", frozenset({"symbol", "price"})),
    ("rest_average_price", frozenset({"mins", "price"})),
    ("rest_time", frozenset({"serverTime"})),
    ("rest_long_short_ratio", frozenset({"longShortRatio", "timestamp"})),
    ("rest_taker_ratio", frozenset({"buySellRatio", "timestamp"})),
    ("rest_taker_volume", frozenset({"takerBuyVol", "timestamp"})),
    ("rest_basis", frozenset({"basis", "futuresPrice"})),
)

KLINE_COLUMNS = 12


def shape_of(message: object) -> str | None:
    """Name a message that carries no event name, or return None."""
    if isinstance(message, Mapping):
        if not message:
            return "rest_empty"
        return next((name for name, keys in OBJECTS if keys <= message.keys()), None)
    if isinstance(message, list):
        return _list_shape(message)
    return None


def _list_shape(message: list[object]) -> str | None:
    if not message:
        return "rest_empty"
    if all(isinstance(row, list) and len(row) == KLINE_COLUMNS for row in message):
        return "rest_klines"
    names = {shape_of(row) if isinstance(row, Mapping) else None for row in message}
    return names.pop() if len(names) == 1 else None
