"""The documents of the gateway fit what it is, and themselves."""

import json

import jsonschema
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, Field

from sinks.gateway import envelopes, protocol
from sinks.gateway.answers import ERRORS
from sinks.gateway.documents import asyncapi, openapi
from sinks.gateway.documents.messages import EXAMPLES, FORMS
from sinks.gateway.protocol import Answer, DataStatus, Key, Refused, Wanted
from tests.support.told import fits, heard

KEY = Key("binance", "linear", "BTCUSDT", protocol.parse_intervals(["173m"])[0])
DOCUMENT = asyncapi.document()
SENT = [
    envelopes.subscribed_text([Answer(Wanted(KEY, 5), 5, None, DataStatus())]),
    envelopes.subscribed_text([Answer(Wanted(KEY._replace(symbol="*"), 5), 0, "no candle yet")]),
    envelopes.unsubscribed_text([]),
    envelopes.unsubscribed_text([KEY], reason="removed"),
    envelopes.error_text(Refused("no")),
    envelopes.pong_text(1),
    envelopes.status_text([KEY], DataStatus(gap_recovery=True, data_quality="gap")),
    *envelopes.snapshot_texts(KEY, 1, [], DataStatus(data_quality="partial")),
    envelopes.updates_text(envelopes.market_head("binance", "linear"), 1, []),
]


def references(part) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [ref for each in part.values() for ref in references(each)]
    return [ref for each in part for ref in references(each)] if isinstance(part, list) else []


def test_every_reference_of_the_websocket_document_leads_somewhere():
    found = references(DOCUMENT)
    assert len(found) > 50
    for ref in found:
        at = DOCUMENT
        for step in ref.removeprefix("#/").split("/"):
            at = at[step]


def test_every_schema_of_the_websocket_document_is_one():
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("text", SENT)
def test_what_the_protocol_writes_fits_its_schema(text):
    fits(json.loads(text))


@pytest.mark.parametrize("form", FORMS)
def test_every_example_fits_its_form_alone(form):
    for each in FORMS[form]:
        fits(json.loads(EXAMPLES[each.__name__]), form)


def test_what_is_not_documented_does_not_fit():
    pong = json.loads(envelopes.pong_text(1))
    for wrong in (pong | {"more": 1}, pong | {"time_ms": "1"}, {"type": "pong"}, {}):
        with pytest.raises(jsonschema.ValidationError):
            fits(wrong)


@pytest.mark.parametrize("message", [*asyncapi.HEARD_EXAMPLES.values()])
def test_what_a_client_may_say_is_documented_and_read(message):
    assert protocol.parse(json.dumps(heard(message)))


@pytest.mark.parametrize("timeframe", ["173m", 15, {"timeframe": 15}, {"timeframe": "1M"}])
def test_every_way_to_name_a_timeframe_is_documented(timeframe):
    item = {"symbol": "BTCUSDT", "timeframes": [timeframe]}
    heard({"action": "subscribe", "subscriptions": [item]})


def test_a_route_gets_a_summary_an_example_and_its_errors():
    class Thing(BaseModel):
        name: str = Field(examples=["BTCUSDT"])
        sizes: list[int] = []
        best: int | None = None

    router = APIRouter()

    @router.get("/things/{count}", responses=ERRORS)
    async def things(count: int) -> list[Thing]:
        """List so many things.

        And more.
        """
        return []

    web = FastAPI()
    web.include_router(router)
    openapi.describe(web)
    operation = web.openapi()["paths"]["/things/{count}"]["get"]
    assert operation["summary"] == "List so many things"
    told = operation["responses"]["200"]["content"]["application/json"]
    assert told["example"] == [{"name": "BTCUSDT", "sizes": [], "best": 1}]
    assert {"401", "403", "404", "422", "429", "503"} <= operation["responses"].keys()
    assert len(operation["responses"]["422"]["content"]["application/json"]["schema"]["anyOf"]) == 2
