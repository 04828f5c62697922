"""The AsyncAPI 3 document of the WebSockets, made of the types that are read and written.

What a client says are ``protocol``'s models; what it is told are ``messages``.
"""

import json
from typing import Any

import msgspec
from pydantic.json_schema import models_json_schema

from schemas.docs import exact_numbers
from sinks.gateway import protocol
from sinks.gateway.documents.messages import EXAMPLES, FORMS, PARTS

Schema = dict[str, Any]
STREAM = "/ws/stream"
SECONDS = "/ws/ohlc"
HEARD = (protocol.Subscribe, protocol.Unsubscribe, protocol.Ping)
HEARD_EXAMPLES: dict[str, Schema] = {
    "Subscribe": json.loads(protocol.EXAMPLE),
    "Unsubscribe": {"action": "unsubscribe", "subscriptions": [{"symbol": "BTCUSDT"}]},
    "Ping": {"action": "ping"},
}
ABOUT = """\
JSON texts. A client says what it wants (candles, or with `data_type` trades, prices, tickers,
books, ticks, statistics or gaps), and is told what is known so far, then every change. `format` in
the address chooses the form in which candles are told, or msgpack: the same maps as binary
messages; `stats=false` leaves the statistics out. Numbers are exact: read them as decimals.
"""
PARAMETERS: Schema = {
    "type": "object",
    "properties": {
        "format": {"type": "string", "enum": [*FORMS, "msgpack"], "default": "native"},
        "stats": {"type": "string", "enum": ["true", "false"], "default": "true"},
        "tz": {
            "type": "string",
            "default": "Asia/Kolkata",
            "description": "With format=ohlc: the zone of its times.",
        },
        "exchange": {"type": "string", "description": "With format=envelope or ohlc: only that."},
        "channel": {"type": "string", "enum": ["spot", "linear"]},
    },
}


def document(websocket_path: str = "/") -> Schema:
    """Return the document of a gateway whose first WebSocket has that path."""
    channels = {"stream": STREAM, "root": websocket_path, "seconds": SECONDS}
    if websocket_path == STREAM:
        del channels["root"]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "fibstream gateway", "version": "1.0.0", "description": ABOUT},
        "defaultContentType": "application/json",
        "channels": {name: _channel(name, path) for name, path in channels.items()},
        "operations": {
            f"{name}.{what}": _operation(name, what)
            for name in channels
            for what in ("send", "receive")
        },
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _told(channel: str) -> list[str]:
    forms = ("ohlc",) if channel == "seconds" else tuple(FORMS)
    return list(dict.fromkeys(each.__name__ for form in forms for each in FORMS[form]))


def _channel(name: str, path: str) -> Schema:
    every = [*(each.__name__ for each in HEARD), *_told(name)]
    return {
        "address": path,
        "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in every},
        "bindings": {"ws": {"method": "GET", "query": PARAMETERS, "bindingVersion": "0.1.0"}},
    }


def _operation(channel: str, what: str) -> Schema:
    """Return what the gateway does: it sends what a client is told."""
    names = _told(channel) if what == "send" else [each.__name__ for each in HEARD]
    return {
        "action": what,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
    }


def _messages() -> Schema:
    examples = HEARD_EXAMPLES | {name: json.loads(text) for name, text in EXAMPLES.items()}
    schemas = _schemas()
    return {
        name: {
            "name": name,
            "summary": schemas[name]["description"].partition("\n")[0],
            "payload": {"$ref": f"#/components/schemas/{name}"},
            "examples": [{"payload": example}],
        }
        for name, example in examples.items()
    }


def _schemas() -> Schema:
    template = "#/components/schemas/{name}"
    sent = {*PARTS, *(each for form in FORMS.values() for each in form)}
    by_name = sorted(sent, key=lambda each: each.__name__)
    _, told = msgspec.json.schema_components(by_name, ref_template=template)
    _, heard = models_json_schema(
        [(each, "validation") for each in HEARD], ref_template="#/components/schemas/{model}"
    )
    schemas: Schema = {**exact_numbers(told), **heard["$defs"]}
    return dict(sorted(schemas.items()))
