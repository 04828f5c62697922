"""What else Hyperliquid is known to send: recognised by channel or by keys, and left alone."""

from collections.abc import Mapping

CHANNELS = frozenset(
    {
        "pong",
        "post",
        "bbo",
        "allMids",
        "activeSpotAssetCtx",
        "activeAssetData",
        "allDexsAssetCtxs",
        "allDexsClearinghouseState",
        "assetCtxs",
        "clearinghouseState",
        "explorerBlock",
        "explorerTxs",
        "fastAssetCtxs",
        "notification",
        "openOrders",
        "orderUpdates",
        "outcomeMetaUpdates",
        "spotAssetCtxs",
        "spotState",
        "twapStates",
        "user",
        "userEvents",
        "userFills",
        "userFundings",
        "userHistoricalOrders",
        "userNonFundingLedgerUpdates",
        "userTwapHistory",
        "userTwapSliceFills",
        "webData2",
        "webData3",
    }
)

# Bodies of the REST API; the first row whose keys are all there names it.
OBJECTS: tuple[tuple[str, frozenset[str]], ...] = (
    ("rest_meta", frozenset({"universe"})),
    ("rest_book", frozenset({"coin", "levels", "time"})),
    ("rest_candle", frozenset({"t", "T", "s", "i", "o", "c", "h", "l", "v"})),
    ("rest_funding_rate", frozenset({"coin", "fundingRate", "time"})),
    ("rest_trade", frozenset({"coin", "px", "sz", "side", "tid"})),
    ("rest_asset_context", frozenset({"funding", "openInterest", "markPx"})),
    ("rest_dex", frozenset({"name", "fullName", "deployer"})),
)

COINS_MIN = 10  # fewer names with numbers could be anything


def shape_of(message: object) -> str | None:
    """Name a message without a channel, or return None."""
    if isinstance(message, Mapping):
        return _object_shape(message)
    if isinstance(message, list):
        return _list_shape(message)
    return None


def _object_shape(message: Mapping[str, object]) -> str | None:
    if not message:
        return "rest_empty"
    for name, keys in OBJECTS:
        if keys <= message.keys():
            return name
    is_mids = len(message) >= COINS_MIN and all(map(_is_number, message.values()))
    return "rest_all_mids" if is_mids else None


def _is_number(value: object) -> bool:
    return isinstance(value, str) and value.replace(".", "", 1).isdecimal()


def _list_shape(message: list[object]) -> str | None:
    if not message:
        return "rest_empty"
    first, *rest = message
    if isinstance(first, Mapping) and "universe" in first and rest:
        return "rest_meta_and_contexts"
    names = {_object_shape(row) if isinstance(row, Mapping) else None for row in message}
    return names.pop() if len(names) == 1 else None
