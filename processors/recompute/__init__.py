"""Candles that a trade changed after their state was gone, computed again from the warehouse."""
