"""Which topics are ours, and which are documented and left alone.

One name serves several markets: an option's ticker, a spread's book and an inverse contract look
like ours, but count in other units.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

# The first word of a topic to what it carries. Private and retired ones included.
OTHERS: Mapping[str, str] = {
    "liquidation": "liquidation",
    "priceLimit": "price_limit",
    "insurance": "insurance",
    "adlAlert": "adl_alert",
    "system": "system_status",
    "kline_lt": "leveraged_token",
    "tickers_lt": "leveraged_token",
    "lt": "leveraged_token",
    "rfq": "rfq",
}
_OPTION = re.compile(r".+-[0-9.]+-[CP](-[A-Z]+)?")
_INVERSE = re.compile(r"[A-Z0-9]+USD([FGHJKMNQUVXZ][0-9]{2})?")


def is_option(symbol: str) -> bool:
    """Say whether it names an option: a date, a strike, and a call or a put."""
    return "-" in symbol and _OPTION.fullmatch(symbol) is not None


@lru_cache(maxsize=8_192)
def foreign(symbol: str, *, is_linear: bool) -> str | None:
    """Name the market of a symbol that is not of this one, or return None."""
    if is_option(symbol):
        return "option"
    if "_" in symbol or "/" in symbol:
        return "spread"
    if is_linear and _INVERSE.fullmatch(symbol):
        return "inverse"
    return None
