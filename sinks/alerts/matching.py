"""Which subjects a rule is about."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from schemas.alerts import MarketRule


def matches(rule: MarketRule, market: Sequence[str]) -> bool:
    """Say whether a rule is about ``(exchange, channel, symbol)``."""
    exchange, channel, symbol = market
    return (
        (rule.symbol == symbol or fnmatchcase(symbol, rule.symbol))
        and (rule.exchange == exchange or fnmatchcase(exchange, rule.exchange))
        and rule.channel in ("*", channel)
    )
