"""What the gateway says of itself: OpenAPI of its routes, AsyncAPI of its WebSockets."""

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from sinks.gateway.documents import asyncapi, openapi

ASYNCAPI_PATH = "/asyncapi.json"


def publish(web: FastAPI, websocket_path: str) -> None:
    """Serve both documents; call it when all routes are there."""
    openapi.describe(web)
    document = asyncapi.document(websocket_path)

    @web.get(ASYNCAPI_PATH, include_in_schema=False)
    async def messages() -> JSONResponse:
        return JSONResponse(document)
