"""Pure folds over event time: no I/O, no clock, no Faust. Time is an argument.

Everything here is a function of (state, records, ticks), so a replay after a crash computes the
same candles with the same revisions.
"""
