"""Reading ClickHouse over HTTP: a server, or the endpoint beside the sink's embedded engine."""

from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from runtime.errors import Misconfigured, Retriable
from runtime.settings import Settings

URL = "STREAMER_CLICKHOUSE_URL"
EMBEDDED_DATABASE = "market"
CONNECT_TIMEOUT_S = 5
# Too busy, out of time or memory, restarting; and whatever did not come from the engine at all.
# https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
AWAY = {None, 159, 160, 202, 203, 209, 210, 236, 241, 279, 394, 425, 439, 999}


def url_of(settings: Settings) -> str:
    """Return where the warehouse answers; raise Misconfigured where that is not said."""
    if settings.clickhouse_url:
        return settings.clickhouse_url
    if not settings.clickhouse_http_port:
        raise Misconfigured(
            URL,
            "is not set, and STREAMER_CLICKHOUSE_HTTP_PORT does not tell where the sink answers",
            remedy="Set one of them, or run `fibstream up` for everything.",
        )
    return f"http://{settings.clickhouse_http_host}:{settings.clickhouse_http_port}/{EMBEDDED_DATABASE}"


def connected(url: str, *, answer_within_s: int, retry_after_s: float) -> Any:
    """Return a client of clickhouse-connect; raise Retriable, or Misconfigured for a bad URL."""
    try:
        return clickhouse_connect.get_client(
            dsn=url,
            connect_timeout=CONNECT_TIMEOUT_S,
            send_receive_timeout=answer_within_s,
            query_retries=0,
            autogenerate_session_id=False,
        )
    except ClickHouseError as e:
        raise sorted_error(e, retry_after_s) from e
    except ValueError as e:
        remedy = "Write http://user:password@host:8123/database."
        raise Misconfigured(URL, f"it is not a URL: {e}", remedy=remedy) from e


def sorted_error(e: ClickHouseError, retry_after_s: float) -> Exception:
    """Return Retriable while the engine is away, else the error itself."""
    if getattr(e, "code", None) in AWAY:
        return Retriable(f"ClickHouse: {e}", retry_after_s=retry_after_s)
    return e
