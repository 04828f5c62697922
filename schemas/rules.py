"""How each venue draws its candles, so that ours equal its own; what a venue does not say is plain.

Sources: Kraken's OHLC repeats the close in empty minutes; Bybit opens a candle at the previous
close (https://bybit-exchange.github.io/docs/v5/websocket/public/kline) and draws empty ones so.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple


class CandleRule(NamedTuple):
    """``fills``: a window without a trade is a flat candle at the previous close.

    ``opens_at_close``: a candle opens at the previous close, which its high and low include.
    """

    fills: bool = False
    opens_at_close: bool = False


PLAIN = CandleRule()
VENUE_RULES: Mapping[str, CandleRule] = {
    "bybit": CandleRule(fills=True, opens_at_close=True),
    "kraken": CandleRule(fills=True),
}
EmptyCandles = Literal["venue", "fill", "skip"]
FLAT_WINDOWS_MAX = 3_600
"""In a row: after so many windows without a trade no more are filled until the next one."""


def candle_rule(
    exchange: str,
    empty: EmptyCandles = "venue",
    rules: Mapping[str, CandleRule] = VENUE_RULES,
) -> CandleRule:
    """Return the venue's rule; ``fill`` and ``skip`` decide about empty windows instead of it."""
    rule = rules.get(exchange, PLAIN)
    return rule if empty == "venue" else rule._replace(fills=empty == "fill")
