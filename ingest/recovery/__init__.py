"""Trades that were missed, fetched again: what is missing, where it can be had, and by when."""
