"""``fibstream export``: candles or trades into a file that other programs read, page by page."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from fibstream.load import Asked, Numbers, tables
from runtime.errors import Misconfigured

SUFFIXES = (".parquet", ".csv", ".arrow", ".duckdb")


def export(
    asked: Asked,
    to: Path,
    *,
    url: str | None = None,
    data_dir: Path | None = None,
    numbers: Numbers = "decimal",
) -> int:
    """Write what is asked for; return how many rows. A file is whole or is not there."""
    if to.suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise Misconfigured("--to", f"{to.name} ends in none of {known}", remedy="Choose one.")
    pages = tables(asked, url=url, data_dir=data_dir, numbers=numbers)
    if to.suffix == ".duckdb":
        return _into_duckdb(to, asked, pages)
    part = to.with_name(to.name + ".part")
    count = 0
    first = next(pages)
    with _writer(part, to.suffix, first.schema) as writer:
        for page in chain([first], pages):
            writer.write_table(page)
            count += len(page)
    part.replace(to)
    return count


@contextmanager
def _writer(path: Path, suffix: str, schema: pa.Schema) -> Iterator[Any]:
    if suffix == ".parquet":
        import pyarrow.parquet as pq

        writer: Any = pq.ParquetWriter(path, schema, compression="zstd")
    elif suffix == ".csv":
        import pyarrow.csv as pa_csv

        writer = pa_csv.CSVWriter(path, schema)
    else:
        writer = pa.ipc.new_file(str(path), schema)
    with writer:
        yield writer


def _into_duckdb(to: Path, asked: Asked, pages: Iterator[pa.Table]) -> int:
    """Make a table in a DuckDB database; DuckDB reads the Parquet files as well."""
    try:
        duckdb: Any = import_module("duckdb")  # no dependency: it reads Parquet without us
    except ModuleNotFoundError as e:
        remedy = "Install duckdb, or export .parquet: SELECT * FROM 'file.parquet' reads it."
        raise Misconfigured("--to", "duckdb is not installed here", remedy=remedy) from e
    name = "trades" if asked.interval is None else "candles"
    count = 0
    with duckdb.connect(str(to)) as database:
        database.begin()  # a table is whole or is not there
        for page in pages:
            relation = database.from_arrow(page)
            if not count:
                relation.limit(0).create(name)
            relation.insert_into(name)
            count += len(page)
        database.commit()
    return count
