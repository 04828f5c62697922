"""What one table of the warehouse is fed with: a topic, and how its records become rows."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pyarrow as pa

from schemas.topics import Topic
from sinks.base import Record, Refused

Rows = tuple[pa.Table, list[Refused]]
"""The rows of some records, and the records that are (partly) left out."""


class Table(NamedTuple):
    """One table; columns that ``rows`` leaves out get their defaults."""

    name: str
    topic: Topic
    rows: Callable[[Sequence[Record]], Rows]
    """Pure: it runs in a thread. Of the tables of one topic only one refuses a record."""
