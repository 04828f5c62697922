"""The generated pages: topics with their JSON Schemas, settings, venues, ``.env.example``.

``python -m fibstream.docs`` writes them anew; a test holds the committed ones against ``pages``.
"""

import ast
import inspect
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from fibstream.examples import example_records
from fibstream.venues_page import venue_tables
from runtime.env_example import env_example
from runtime.settings import Settings
from schemas.docs import topic_schemas
from schemas.intervals import DAY_MS, HOUR_MS
from schemas.topics import CATALOGUE, Topic
from sinks.gateway.documents import asyncapi

Schema = dict[str, Any]

GENERATED = "<!-- Generated: `make docs` writes this page anew. -->\n\n"

TOPICS_INTRO = """\
# Topics

Values are JSON, one record each, with the schema of the last column. Names stand after
`STREAMER_KAFKA_TOPIC_PREFIX`; the number of partitions is `STREAMER_KAFKA_PARTITIONS` where none is
given. `fibstream topics` creates what is missing.

- A symbol's partition is Kafka's default hash (murmur2) of `exchange:channel:symbol`, on every
  topic; where a record holds one symbol, that text is its key.
- Numbers are exact: read them as decimals (`json.loads(value, parse_float=Decimal)`), never floats.
- Times are in milliseconds since 1970 where their name does not say otherwise. `ts` is the venue's;
  0 means that it told none, and then only `recv_ns` of the record, which is ours, says when.
- Ignore fields that you do not know: a newer writer may add some. What would break a reader gets a
  new topic (`.v2`).
- Python has readers: `schemas.trades` (rows) and `schemas.frames` (numpy, polars, pandas).
"""

SETTINGS_INTRO = """\
# Settings

Each is an environment variable, or a line of `.env` in the working directory; the environment wins.
An empty value means the default. A bad one ends the command with exit code 2 and its name.
"""


def pages() -> dict[str, str]:
    """Return every generated file: its path from the repository's root, and its text."""
    schemas = described_schemas()
    return {
        ".env.example": env_example(),
        "docs/settings.md": GENERATED + "\n".join([SETTINGS_INTRO, *_settings_table(), ""]),
        "docs/venue-tables.md": GENERATED + venue_tables(),
        "docs/topics.md": GENERATED + "\n".join([TOPICS_INTRO, *_topics_page(schemas)]),
        "docs/asyncapi.json": json.dumps(asyncapi.document(), indent=2) + "\n",
        **{
            f"docs/topics/{name}.schema.json": json.dumps(schema, indent=2) + "\n"
            for name, schema in schemas.items()
        },
    }


def described_schemas() -> dict[str, Schema]:
    """Return the schema of each topic with the text that stands under each field in the source."""
    schemas = topic_schemas()
    for topic in CATALOGUE:
        records = vars(inspect.getmodule(topic.value))
        for name, definition in schemas[topic.name]["$defs"].items():
            meanings = _meanings(records[name])
            for at, field in enumerate(msgspec.structs.fields(records[name])):
                if "properties" in definition:
                    written = definition["properties"][field.encode_name]
                else:  # a list: its places have no names of their own
                    written = definition["prefixItems"][at]
                    written["title"] = field.encode_name
                if field.name in meanings:
                    written["description"] = meanings[field.name]
    return schemas


def _meanings(record: type) -> dict[str, str]:
    found: dict[str, str] = {}
    for base in reversed(record.__mro__[: record.__mro__.index(msgspec.Struct)]):
        found |= _own_meanings(base)
    return found


def _own_meanings(record: type) -> dict[str, str]:
    (tree,) = ast.parse(inspect.getsource(record)).body
    found = {}
    for field, note in pairwise(ast.iter_child_nodes(tree)):
        match field, note:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
    return found


def _topics_page(schemas: dict[str, Schema]) -> Iterator[str]:
    yield "| topic | what | kept | partitions | schema |\n| --- | --- | --- | --- | --- |"
    for topic in CATALOGUE:
        link = f"[JSON Schema](topics/{topic.name}.schema.json)"
        row = (f"`{topic.name}`", topic.about, _kept(topic), str(topic.partitions or ""), link)
        yield _row(*row)
    examples = example_records()
    told = set()
    for topic in CATALOGUE:
        yield f"\n## {topic.name}\n"
        for name, definition in schemas[topic.name]["$defs"].items():
            if name not in told:
                told.add(name)
                yield from _fields_table(name, definition)
        for example in examples[topic.name]:
            record = example.decode().replace('{"symbol"', '\n {"symbol"')
            yield f"```json\n{record}\n```"
    yield ""


def _fields_table(name: str, definition: Schema) -> Iterator[str]:
    yield f"**{name}**: {_prose(definition['description'])}\n"
    yield "| field | type | meaning |\n| --- | --- | --- |"
    fields = definition.get("properties") or {
        form["title"]: form for form in definition["prefixItems"]
    }
    for field, form in fields.items():
        may_be_absent = "default" in form and "enum" not in form
        form_text = _type(form) + (", may be absent" if may_be_absent else "")
        yield _row(f"`{field}`", form_text, _prose(form.get("description", "")))
    yield ""


def _settings_table() -> Iterator[str]:
    yield "| setting | default | allowed | meaning |\n| --- | --- | --- | --- |"
    defaults = Settings.model_construct().environment()
    for name, form in Settings.model_json_schema()["properties"].items():
        variable = f"STREAMER_{name.upper()}"
        default = defaults[variable]
        default = default.lower() if form.get("type") == "boolean" else default
        shown = f"`{default}`" if default else ""
        yield _row(f"`{variable}`", shown, _type(form), form.get("description", ""))


def _type(form: Schema) -> str:
    """Return a JSON Schema's type in words."""
    match form:
        case {"anyOf": list(choices)}:
            words = " or one ".join(_type(c) for c in choices if c != {"type": "null"})
        case {"enum": list(values)}:
            words = ", ".join(f"`{value}`" for value in values)
        case {"$ref": str(name)}:
            words = name.rpartition("/")[2]
        case {"type": "array", "items": dict(items)}:
            words = f"list of {_type(items)}"
        case {"type": "integer", "minimum": int(low), "maximum": int(high)} if high < 2**63 - 1:
            words = f"{low} to {high}"
        case {"type": "integer", "minimum": int(low)} if low >= 0:
            words = f"{low} or more"
        case {"type": "string"}:
            words = str(form.get("contentEncoding") or form.get("format") or "text")
        case {"type": str(kind)}:
            words = "`true`, `false`" if kind == "boolean" else kind
    return words


def _kept(topic: Topic) -> str:
    if topic.compacted:
        return "the newest of each key"
    hours, days = topic.retention_ms // HOUR_MS, topic.retention_ms // DAY_MS
    return f"{days} days" if days else f"{hours} h"


def _prose(docstring: str) -> str:
    return " ".join(docstring.split()).replace("``", "`")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write every page below the working directory, and remove schemas of topics that are gone."""
    written = {Path(path): text for path, text in pages().items()}
    for path in set(Path("docs/topics").glob("*.schema.json")) - written.keys():
        path.unlink()
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
