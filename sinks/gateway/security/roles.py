"""Which role each endpoint needs: one table. What is not in it does not exist for callers.

Where several patterns fit a path the highest of their roles is needed, so that the order in which
routes are tried opens nothing.
"""

from enum import IntEnum
from re import Pattern

from starlette.routing import compile_path

from schemas.keys import RoleName

WEBSOCKET = "WEBSOCKET"
STREAM = "/streams/{exchange}/{symbol:path}/{kind}/{transport}"


class Role(IntEnum):
    """What a caller may do; each may do what those before it may."""

    NOBODY = 0
    """Not known: the page, and whether the gateway lives."""
    VIEWER = 1
    """Reads."""
    OPERATOR = 2
    """Changes which streams and intervals run."""
    ADMIN = 3
    """Makes and revokes keys."""

    @property
    def text(self) -> str:
        """The role's name on topics and in answers."""
        return self.name.lower()


ROLES: dict[RoleName, Role] = {
    "viewer": Role.VIEWER,
    "operator": Role.OPERATOR,
    "admin": Role.ADMIN,
}

_NOBODY: dict[str, Role] = {"GET": Role.NOBODY}
_READ: dict[str, Role] = {"GET": Role.VIEWER}
_OPERATE: dict[str, Role] = {"POST": Role.OPERATOR, "DELETE": Role.OPERATOR}

ENDPOINTS: dict[str, dict[str, Role]] = {
    "/": _NOBODY | {WEBSOCKET: Role.VIEWER},
    "/static/lightweight-charts.js": _NOBODY,
    "/static/{path:path}": _NOBODY,
    "/health/live": _NOBODY,
    "/health/ready": _NOBODY,
    "/health/runtime": _READ,
    "/health/kafka": _READ,
    "/health/db": _READ,
    "/health/redis": _READ,
    "/openapi.json": _READ,
    "/asyncapi.json": _READ,
    "/ws/stream": {WEBSOCKET: Role.VIEWER},
    "/ws/ohlc": {WEBSOCKET: Role.VIEWER},
    "/symbols": _READ,
    "/symbols/available": _READ,
    "/add_symbol": {"POST": Role.OPERATOR},
    "/remove_symbol/{symbol:path}": {"DELETE": Role.OPERATOR},
    "/tick/{symbol:path}": _READ,
    "/ohlc/{symbol:path}": _READ,
    "/udf/config": _READ,
    "/udf/time": _READ,
    "/udf/symbols": _READ,
    "/udf/search": _READ,
    "/udf/history": _READ,
    "/udf/marks": _READ,
    "/api/v1/series": _READ,
    "/api/v1/intervals": _READ | _OPERATE,
    "/api/v1/intervals/{interval:path}": {"DELETE": Role.OPERATOR},
    "/api/v1/alerts": _READ | {"POST": Role.OPERATOR},
    "/api/v1/alerts/{rule_id}": _READ | {"DELETE": Role.OPERATOR},
    "/api/v1/alerts/{rule_id}/test": {"POST": Role.OPERATOR},
    "/api/v1/data/klines/{symbol:path}": _READ,
    "/api/v1/data/trades/{symbol:path}": _READ,
    "/api/v1/integrity": _READ,
    "/api/v1/integrity/gaps": _READ,
    "/api/v1/monitoring/health": _READ,
    "/api/v1/monitoring/system-stats": _READ,
    "/api/v1/admin/tickers/status": _READ,
    "/api/v1/whoami": _READ,
    "/api/v1/tokens": {"POST": Role.VIEWER},
    "/api/v1/tokens/refresh": {"POST": Role.NOBODY},
    "/api/v1/keys": {"GET": Role.ADMIN, "POST": Role.ADMIN},
    "/api/v1/keys/{key_id}": {"DELETE": Role.ADMIN},
    "/streams": _READ | _OPERATE,
    "/streams/count": _READ,
    "/streams/capabilities": _READ,
    STREAM: _READ,
    STREAM + "/knobs": _READ | {"PATCH": Role.OPERATOR, "DELETE": Role.OPERATOR},
    "/instruments": _READ,
    "/instruments/count": _READ,
}


class Endpoints:
    """The table, ready to be asked; ``websocket_path`` is where the settings put the WebSocket."""

    def __init__(self, websocket_path: str) -> None:
        table = {path: dict(methods) for path, methods in ENDPOINTS.items()}
        table.setdefault(websocket_path, {})[WEBSOCKET] = Role.VIEWER
        self._patterns: list[tuple[Pattern[str], dict[str, Role]]] = [
            (compile_path(path)[0], methods) for path, methods in table.items()
        ]

    def needed(self, method: str, path: str) -> Role | None:
        """Return the role that a call needs; None: there is no such endpoint."""
        method = "GET" if method == "HEAD" else method
        fitting = (methods for pattern, methods in self._patterns if pattern.match(path))
        return max((roles[method] for roles in fitting if method in roles), default=None)
