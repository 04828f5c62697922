"""Python's garbage collector, told what an ingestor is like.

A full collection looks at everything that was imported: 0.2 s in which no frame is read.
"""

import gc

YOUNG_MAX = 100_000  # objects; what a tick makes is freed by its reference counts


def settle() -> None:
    """Leave what lives as long as the process out of collections, and collect seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, 20, 100)
