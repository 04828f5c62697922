"""Where past trades come from: pages of rows, by ids or times, and the errors of asking.

A source gives at least what was asked where it has it, in order of time; rows beyond the asked
ends may come with it and are the caller's to drop. It publishes nothing.

* ``Retriable`` (``runtime.errors``) - not now: the venue is away, or wants no request
* ``Unavailable``
    * ``OutOfReach`` - the venue no longer gives what is so old
    * ``DayMissing`` - the archive has no file of that day; ``may_come`` where it is still due
    * ``Damaged`` - the file is not what its checksum says, is cut off, or cannot be read
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from ingest.exchanges.base import TradeRow
from runtime.errors import PipelineError


class Unavailable(PipelineError):  # noqa: N818 - reads as what is so
    """The source cannot give this; another source, or a later time, may."""

    def __init__(self, symbol: str, reason: str) -> None:
        super().__init__(symbol, reason)
        self.symbol = symbol
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.symbol}: {self.reason}"


class OutOfReach(Unavailable):
    """It lies beyond the venue's horizon; it never comes back into it."""


class DayMissing(Unavailable):
    """The archive has no file; ``may_come`` while a day is younger than the archive's lag."""

    def __init__(self, symbol: str, day: str, *, may_come: bool) -> None:
        super().__init__(symbol, f"the archive has no {day}")
        self.day = day
        """``2024-01-31``, or ``2024-01`` of a monthly file."""
        self.may_come = may_come


class Damaged(Unavailable):
    """A file that is not whole; venues replace files, so a later download may be."""

    def __init__(self, symbol: str, day: str, reason: str) -> None:
        super().__init__(symbol, f"the archive's {day} is damaged: {reason}")
        self.day = day


class TradeSource(Protocol):
    """A venue's past trades, from its REST interface or its archive."""

    def pages(
        self,
        symbol: str,
        first_id: int | None,
        last_id: int | None,
        from_ms: int,
        to_ms: int,
    ) -> AsyncIterator[Sequence[TradeRow]]:
        """Yield pages of what lies within both ids (inclusive) and both times [from_ms, to_ms].

        Ids are None where only times are known; times bound the search even where ids are given
        (an archive finds its days by them). A page has at most 5,000 rows. An error is raised
        where it arises: the pages before it hold.
        """
        ...
