"""Messages of the gateway's WebSockets held against the schemas of its AsyncAPI document."""

from functools import lru_cache
from typing import Any

import jsonschema

from sinks.gateway.documents import asyncapi
from sinks.gateway.documents.messages import FORMS

ROWS_MAX = 3  # of one message; thousands would take their time


@lru_cache
def _validator(names: tuple[str, ...]) -> jsonschema.Draft202012Validator:
    every = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    components = asyncapi.document()["components"]
    return jsonschema.Draft202012Validator({"oneOf": every, "components": components})


def fits(message: dict[str, Any], form: str = "native") -> dict[str, Any]:
    """Return a message that is one of those documented for its form, and only one."""
    rows = message.get("data")
    some = message | {"data": rows[:ROWS_MAX]} if isinstance(rows, list) else message
    _validator(tuple(each.__name__ for each in FORMS[form])).validate(some)
    return message


def heard(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message of a client that is one of those documented."""
    _validator(tuple(each.__name__ for each in asyncapi.HEARD)).validate(message)
    return message
