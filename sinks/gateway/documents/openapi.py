"""FastAPI's OpenAPI document, made whole: summaries, an example of every answer, all errors.

Routes say what is their own. What is true of all of them is said here, once.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from fastapi import FastAPI

from sinks.gateway.documents.examples import ROUTES, SCHEMAS

Schema = dict[str, Any]
OPEN = {"/health/live", "/health/ready"}
"""Nobody is turned away from these."""
TURNED_AWAY = {
    "401": "Nobody knows this key or token.",
    "403": "The role of the caller may not do this.",
    "429": "Too many requests: see Retry-After.",
}
REFUSAL = {"$ref": "#/components/schemas/Refusal"}
VALIDATION = {"$ref": "#/components/schemas/HTTPValidationError"}
DEPTH_MAX = 12


def describe(web: FastAPI) -> None:
    """Make ``/openapi.json`` of an application whole; it is made once, when it is asked for."""
    made = web.openapi

    def document() -> Schema:
        if web.openapi_schema is None:
            web.openapi_schema = completed(made())
        return web.openapi_schema

    web.openapi = document  # type: ignore[method-assign]


def completed(document: Schema) -> Schema:
    """Return a document in which nothing is left to guess."""
    document = deepcopy(document)
    components = document.setdefault("components", {}).setdefault("schemas", {})
    for path, _, operation in operations(document):
        text = operation.get("description", "").strip()
        operation["summary"] = text.partition("\n")[0].rstrip(".") or operation["summary"]
        _add_errors(path, operation, components)
        for status, answer in operation["responses"].items():
            _add_examples(path if status < "300" else "", answer, components)
        if "requestBody" in operation:
            _add_examples("", operation["requestBody"], components)
    return document


def operations(document: Schema) -> Iterator[tuple[str, str, Schema]]:
    """Yield every operation with its path and its method."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def example_of(schema: Schema, components: Schema, depth: int = 0) -> Any:
    """Return what a schema could stand for: its own examples first."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return SCHEMAS[name] if name in SCHEMAS else example_of(components[name], components, depth)
    for named in ("example", "default", "const"):
        if named in schema:
            return schema[named]
    for listed in ("examples", "enum"):
        if schema.get(listed):
            return schema[listed][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return example_of(schema[several][0], components, depth)
    return _made(schema, components, depth)


def _made(schema: Schema, components: Schema, depth: int) -> Any:
    match schema.get("type"):
        case "object" if depth < DEPTH_MAX:
            fields = schema.get("properties", {})
            return {name: example_of(f, components, depth + 1) for name, f in fields.items()}
        case "array" if depth < DEPTH_MAX and "items" in schema:
            return [example_of(schema["items"], components, depth + 1)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "string":
            return "text"
    return [] if schema.get("type") == "array" else {} if schema.get("type") == "object" else None


def _add_errors(path: str, operation: Schema, components: Schema) -> None:
    answers = operation["responses"]
    if operation.get("parameters") or "requestBody" in operation:
        content = {"application/json": {"schema": VALIDATION}}
        answers.setdefault("422", {"description": "What cannot be meant.", "content": content})
    if "422" in answers and "Refusal" in components:
        told = answers["422"]["content"]["application/json"]
        kinds = [told["schema"], REFUSAL, VALIDATION]
        told["schema"] = {"anyOf": [k for at, k in enumerate(kinds) if k not in kinds[:at]]}
    if path in OPEN:
        return
    for status, why in TURNED_AWAY.items():
        content = {"application/json": {"schema": REFUSAL}}
        answers.setdefault(status, {"description": why, "content": content})


def _add_examples(path: str, told: Schema, components: Schema) -> None:
    for media_type, content in told.get("content", {}).items():
        if "json" not in media_type and path not in ROUTES:
            continue
        if path in ROUTES:
            content["example"] = ROUTES[path]
        elif "example" in content:
            _give_back_nulls(content, components)
        elif "examples" not in content:
            content["example"] = example_of(content.get("schema", {}), components)


def _give_back_nulls(content: Schema, components: Schema) -> None:
    """Fill in what FastAPI takes out of examples: every null."""
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    for field in components.get(name, {}).get("required", ()):
        content["example"].setdefault(field, None)
