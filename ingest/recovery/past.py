"""How a venue's REST interface tells past trades: one of three shapes, as data and pure functions.

Sizes stay as the venue tells them; whoever publishes brings them to base coins.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ingest.exchanges.base import Request, TradeRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ByIds:
    """Pages from an id on."""

    request: Callable[[str, int], Request]
    """Symbol and the first id wanted."""
    read: Callable[[bytes, str], Sequence[TradeRow]]
    """Body and symbol to rows, oldest first; raises ValueError."""
    page_rows_max: int
    is_window: bool = False
    """A page holds the ids [from, from + page_rows_max) and no others, so an empty one is a hole;
    elsewhere it begins at the first id there is, and an empty one is the end."""
    locate: Callable[[str, int], Request]
    """Symbol and a time in ms: the request that tells the first id from then on."""
    read_located: Callable[[bytes], int | None]
    """None: nothing is told; raises ValueError."""
    locate_span_ms: int | None = None
    """How much time one look covers; None: a look that finds nothing says that all is forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByTime:
    """Pages from a time on, each telling where the next begins."""

    begin: Callable[[int], str]
    """A time in ms to the cursor of the first page."""
    request: Callable[[str, str], Request]
    """Symbol and cursor."""
    read: Callable[[bytes, str], tuple[Sequence[TradeRow], str]]
    """Body and symbol to rows, oldest first, and the next cursor; raises ValueError."""
    page_rows_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The newest trades and no others."""

    request: Callable[[str], Request]
    read: Callable[[bytes, str], Sequence[TradeRow]]
    """Body and symbol to rows, oldest first; raises ValueError."""
    page_rows_max: int


Past = ByIds | ByTime | Newest
