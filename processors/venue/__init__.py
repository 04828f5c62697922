"""The venue's own candles: passed on as ours (klines mode), or compared with ours.

Folds (``processors.fold``) over ``md.venue-klines.v1``: no I/O, no clock.
"""
