"""The running gateway's own documents: every route told whole, every message as it is sent."""

import httpx
import jsonschema
import pytest

from sinks.gateway.documents import asyncapi
from sinks.gateway.documents.openapi import OPEN, operations
from tests.support.streaming import World

pytestmark = pytest.mark.integration

PATHS = {
    "/symbols/available", "/symbols", "/add_symbol", "/remove_symbol/{symbol}", "/tick/{symbol}",
    "/ohlc/{symbol}", "/health/live", "/health/ready", "/health/runtime", "/health/kafka",
    "/health/db", "/health/redis", "/udf/config", "/udf/symbols", "/udf/search", "/udf/history",
    "/udf/time", "/udf/marks", "/streams", "/api/v1/data/klines/{symbol}", "/api/v1/intervals",
}  # fmt: skip


async def test_every_route_has_a_summary_an_example_that_fits_and_its_errors(
    kafka_bootstrap, topic_prefix
):
    async with World(kafka_bootstrap, topic_prefix) as world, world.gateway() as api:
        document = (await api.get("/openapi.json")).json()
        assert document["paths"].keys() >= PATHS
        for path, method, operation in operations(document):
            where = f"{method} {path}"
            assert len(operation["summary"]) > 9, where
            assert operation["summary"][0].isupper(), where
            _check_answers(where, document, operation["responses"])
            if path not in OPEN:
                assert {"401", "403", "429"} <= operation["responses"].keys(), where
            if operation.get("parameters") or "requestBody" in operation:
                assert "422" in operation["responses"], where
        await _check_asyncapi(api)


def _check_answers(where: str, document: dict, answers: dict) -> None:
    told = [status for status in answers if status < "300"]
    assert told, where
    for status, answer in answers.items():
        for media_type, content in answer.get("content", {}).items():
            if media_type != "application/json":
                continue
            assert "example" in content, f"{where} {status}"
            schema = {**content.get("schema", {}), "components": document["components"]}
            jsonschema.Draft202012Validator(schema).validate(content["example"])
        assert answer["description"], f"{where} {status}"


async def _check_asyncapi(api: httpx.AsyncClient) -> None:
    found = (await api.get("/asyncapi.json")).json()
    assert found == asyncapi.document("/")
    assert found["asyncapi"] == "3.0.0"
