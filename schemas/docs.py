"""JSON Schema of every topic, generated from the same types that read and write it."""

from typing import Any, Union

import msgspec

from schemas.topics import CATALOGUE, Topic


def topic_schemas() -> dict[str, dict[str, Any]]:
    """Return ``{topic name: JSON Schema (2020-12) of its value}``."""
    return {
        topic.name: {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": topic.name,
            "description": topic.about,
            **exact_numbers(msgspec.json.schema(_values(topic))),
        }
        for topic in CATALOGUE
    }


def _values(topic: Topic) -> Any:
    return Union[(topic.value, *topic.also)]


def exact_numbers(schema: Any) -> Any:
    """Return a schema of msgspec's in which decimals are what we write."""
    # msgspec describes Decimal as text; on our topics it is a JSON number with all its digits.
    if isinstance(schema, dict):
        if schema.get("format") == "decimal":
            return {"type": "number"}
        return {name: exact_numbers(value) for name, value in schema.items()}
    if isinstance(schema, list):
        return [exact_numbers(value) for value in schema]
    return schema
