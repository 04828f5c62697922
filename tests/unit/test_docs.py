"""The pages say what the program does; what is generated is up to date."""

import json
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Union

import jsonschema
import msgspec
import pytest
from market import group, klines_value, price_value, trade_batch, trades_value

from fibstream.docs import described_schemas, example_records, pages
from processors.engine.engine import Engine
from runtime.settings import Settings
from schemas.intervals import parse_intervals
from schemas.topics import CATALOGUE, KLINES, PRICES, TRADES

REPOSITORY = Path(__file__).parents[2]
PAGES = pages()
SCHEMAS = described_schemas()
EXAMPLES = example_records()
GENERATED = {REPOSITORY / path for path in PAGES}
WRITTEN = [
    path
    for path in (*REPOSITORY.glob("*.md"), *sorted((REPOSITORY / "docs").glob("*.md")))
    if path not in GENERATED
]
FENCED = re.compile(r"^```(?:sh|bash|console)?\n(.*?)^```", re.DOTALL | re.MULTILINE)


def loads(value: bytes) -> dict:
    return json.loads(value, parse_float=Decimal)


def fits(topic: str, value: bytes) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMAS[topic])
    validator.validate(loads(value))


def fenced_lines(path: Path) -> list[str]:
    return [line for block in FENCED.findall(path.read_text()) for line in block.splitlines()]


@pytest.mark.parametrize("path", PAGES)
def test_a_generated_page_is_up_to_date(path):
    assert (REPOSITORY / path).read_text() == PAGES[path], "run: make docs"


def test_no_schema_is_left_of_a_topic_that_is_gone():
    kept = {path.name for path in (REPOSITORY / "docs/topics").iterdir()}
    assert kept == {f"{topic.name}.schema.json" for topic in CATALOGUE}


def test_every_setting_is_listed_with_a_meaning():
    page = PAGES["docs/settings.md"]
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name}: a setting needs a description"
        row = next(line for line in page.splitlines() if f"`STREAMER_{name.upper()}`" in line)
        assert row.endswith(f"| {field.description} |")


@pytest.mark.parametrize("topic", CATALOGUE, ids=lambda topic: topic.name)
def test_every_topic_has_a_valid_schema_and_a_record_that_fits_it(topic):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[topic.name])
    assert topic.about in PAGES["docs/topics.md"]
    assert len(EXAMPLES[topic.name]) == 1 + len(topic.also)
    for example in EXAMPLES[topic.name]:
        fits(topic.name, example)
        msgspec.json.decode(example, type=Union[(topic.value, *topic.also)])


@pytest.mark.parametrize("topic", CATALOGUE, ids=lambda topic: topic.name)
def test_every_field_that_is_missing_or_wrong_is_noticed(topic):
    schema = SCHEMAS[topic.name]
    validator = jsonschema.Draft202012Validator(schema)
    for value, example in zip((topic.value, *topic.also), EXAMPLES[topic.name], strict=True):
        record = loads(example)
        for name in schema["$defs"][value.__name__]["required"]:
            assert not validator.is_valid({k: v for k, v in record.items() if k != name})
            assert not validator.is_valid({**record, name: {"un": "expected"}})


def test_what_the_worker_publishes_fits_the_schemas():
    intervals = parse_intervals(["1s", "1m"])
    engine = Engine(intervals, grace_ms=80, live_every_ms=250, closes_quiet=True)
    published = set()
    for offset, first_id in enumerate((1, 4, 100, 5_000, 97)):
        engine.apply_batch(0, offset, trade_batch(group(first_id=first_id, qty=[1, 2, 3])))
        outputs = [*engine.outputs(offset * 1_000, {0})]
        engine.tick(2**42, {0})
        for output in (*outputs, *engine.outputs(offset * 1_000, {0})):
            fits(output.topic.name, output.value)
            published.add(output.topic.name)
    assert {KLINES.name, PRICES.name, "md.klines-live.v1", "md.gaps.v1"} <= published


@pytest.mark.parametrize(
    ("topic", "value"),
    [
        (TRADES, trades_value()),
        (TRADES, trades_value(group(side=[1, -1, 1], first=[1, 2, 3], last=[1, 2, 3]))),
        (TRADES, trades_value(group(uid=["a", "b", "c"], flags=[0, 1, 8]))),
        (KLINES, klines_value()),
        (PRICES, price_value("0.00000123", 7)),
    ],
)
def test_what_the_codecs_write_fits_the_schemas(topic, value):
    fits(topic.name, value)


def test_prices_are_numbers_and_keep_every_digit():
    record = loads(price_value("0.123456789012345678", 1))
    assert record["data"][0]["price"] == Decimal("0.123456789012345678")
    with pytest.raises(jsonschema.ValidationError):
        fits(PRICES.name, price_value("1.5", 1).replace(b'"price":1.5', b'"price":"1.5"'))


def test_the_json_in_the_written_pages_is_json():
    for path in (*WRITTEN, REPOSITORY / "docs/topics.md"):
        for block in re.findall(r"^```json\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE):
            json.loads(block)


def test_every_make_target_that_the_pages_name_exists():
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for path in WRITTEN:
        named = {
            match[1]
            for line in fenced_lines(path)
            if (match := re.match(r"\s*make ([a-z]+)", line))
        }
        assert named <= targets, path.name


def test_every_command_that_the_pages_name_exists():
    import typer

    from fibstream.cli import app

    commands = set(typer.main.get_command(app).commands)
    for path in WRITTEN:
        text = "\n".join(fenced_lines(path))
        assert set(re.findall(r"(?:^|/)fibstream ([a-z]+)", text, re.MULTILINE)) <= commands


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_every_relative_link_leads_to_a_file(path):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_the_changelog_tells_of_this_version():
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(
        rf"^## \[?{re.escape(version)}\b", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE
    )
