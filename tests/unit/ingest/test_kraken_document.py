"""The worked example names only what is there."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from ingest.exchanges import base, kraken

REPOSITORY = Path(__file__).parents[3]
TEXT = (REPOSITORY / "docs/adding-a-venue.md").read_text()
FOLDERS = [REPOSITORY / name for name in ("ingest/exchanges/kraken", "simulator/venues/kraken")]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_the_files_it_lists_are_the_files_of_the_folder(folder: Path) -> None:
    _, _, block = TEXT.partition(f"```\n{folder.relative_to(REPOSITORY)}/\n")
    listed = re.findall(r"^    (\w+\.py)", block.partition("```")[0], re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in folder.glob("*.py"))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:[a-z_]+/)+[\w.]*)`", TEXT))))
def test_every_path_it_names_exists(path: str) -> None:
    assert (REPOSITORY / path).exists()


@pytest.mark.parametrize(
    ("record", "field"), re.findall(r"`(Market|BookRule|Instrument|Subscription)\.(\w+)", TEXT)
)
def test_every_field_it_names_is_one(record: str, field: str) -> None:
    assert field in {f.name for f in fields(getattr(base, record))}


def test_kraken_is_what_the_table_says() -> None:
    rule = kraken.SPOT.book
    assert kraken.SPOT.ids == "unique"
    assert kraken.SPOT.in_base is None
    assert rule.snapshot is None
    assert rule.checksum is not None
    assert kraken.SPOT.limits.streams_per_request_max == 1
    assert rule.depth == 100
