"""Market statistics: the last 24 hours of each symbol, from its closed candles of one minute."""
