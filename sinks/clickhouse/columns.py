"""Records to Arrow tables, column by column; what does not fit its column exactly is refused.

Arrow checks what a store would cut off in silence: digits beyond a Decimal's scale, integers
beyond 64 bits. A part of a record that does not fit is refused alone, with its record.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pyarrow as pa

from sinks.base import Record, Refused
from sinks.clickhouse.table import Rows

TIME_MS_MAX = 10_413_792_000_000 - 1  # the year 2299, where DateTime64 ends
INT64_MAX = 2**63 - 1
REV_MAX = 2**62 - 1  # 2 * rev + 1 stays in 64 bits

NAME = pa.dictionary(pa.int32(), pa.string())
MS = pa.timestamp("ms", "UTC")
PRICE = pa.decimal128(38, 12)
QUOTE = pa.decimal128(38, 18)

P = TypeVar("P")
Columns = dict[str, list[Any]]


class Unfit(ValueError):  # noqa: N818 - reads as the claim it makes
    """A value that its column cannot hold exactly."""


def fitting(
    parts: Sequence[tuple[Record, P]],
    schema: pa.Schema,
    add: Callable[[Columns, P], None],
    refused: list[Refused],
) -> Rows:
    """Return the parts of records as rows of ``schema``; the unfit ones join the refused.

    ``add`` puts one part at the end of every column; raises Unfit.
    """
    try:
        return _table([part for _, part in parts], schema, add), refused
    except Unfit:
        pass  # somewhere in there: ask each part alone
    found = []
    reasons: dict[Record, list[str]] = {}
    for record, part in parts:
        try:
            _table([part], schema, add)
        except Unfit as e:
            reasons.setdefault(record, []).append(str(e))
        else:
            found.append(part)
    refused += [Refused(record, "; ".join(why)) for record, why in reasons.items()]
    return _table(found, schema, add), refused


def _table(parts: Sequence[P], schema: pa.Schema, add: Callable[[Columns, P], None]) -> pa.Table:
    columns: Columns = {name: [] for name in schema.names}
    for part in parts:
        add(columns, part)
    return pa.table([array(field, columns[field.name]) for field in schema], schema=schema)


def array(field: pa.Field, values: list[Any]) -> pa.Array:
    """Return the values as that column; raise Unfit where one does not fit."""
    try:
        if pa.types.is_dictionary(field.type):
            return pa.array(values, pa.string()).dictionary_encode()
        return pa.array(values, field.type)
    except (pa.ArrowException, OverflowError, ValueError) as e:
        raise Unfit(f"{field.name}: {e}") from e
