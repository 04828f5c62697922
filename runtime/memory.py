"""Python's garbage collector, told what a stage is like.

A full collection looks at everything that was imported: 0.1 to 0.2 s in which no frame is read, no
candle leaves. At the default threshold records of hundreds of lists, which live for a moment, call
the collector every time, and it finds nothing.
"""

import gc

YOUNG_MAX = 100_000  # objects; what a record or a tick makes is freed by its reference counts


def settle() -> None:
    """Leave what lives as long as the process out of collections, and collect seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, 20, 100)
