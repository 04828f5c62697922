"""What is told beside candles: trades, prices, tickers, books, ticks, statistics and gaps."""

from sinks.gateway.kinds.kinds import Kinds

__all__ = ["Kinds"]
