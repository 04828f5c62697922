"""How much the next batch may hold: what came last tells how many rows a record has.

Parts are dear, so a busy stream is gathered for longer, and a backlog in bigger and bigger batches.
"""

from sinks.base import BatchLimits

ROWS = 50_000  # of a batch, while the log is followed
ROWS_MAX = 400_000  # while there is a backlog: about 150 MB of columns
BUSY_ROWS = 2_000
LINGER_MS = 300
BUSY_LINGER_MS = 1_000
BYTES_MAX = 32 << 20
FIRST_RECORDS = 50  # before it is known how many rows they have
RECORDS_MAX = 20_000


class Pace:
    """The limits of the next batch; tell it of every batch that was written."""

    def __init__(self) -> None:
        self.limits = BatchLimits(
            records_max=FIRST_RECORDS, bytes_max=BYTES_MAX, linger_ms=LINGER_MS
        )
        self._rows = ROWS

    def wrote(self, records: int, rows: int) -> None:
        """Take note of a batch."""
        if not records:
            return
        is_full = records >= self.limits.records_max
        self._rows = min(2 * self._rows, ROWS_MAX) if is_full else ROWS
        self.limits = BatchLimits(
            records_max=min(max(1, self._rows * records // max(rows, 1)), RECORDS_MAX),
            bytes_max=BYTES_MAX,
            linger_ms=BUSY_LINGER_MS if rows >= BUSY_ROWS else LINGER_MS,
        )
