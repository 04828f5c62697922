"""Parameters of REST requests, and the refusals that name them."""

from collections.abc import Mapping


class RefusedError(Exception):
    """A request that the venue refuses, in its own words."""

    def __init__(self, code: str, reason: str, *, status: int = 200) -> None:
        super().__init__(reason)
        self.code = code
        self.status = status


def mandatory(query: Mapping[str, str], name: str) -> str:
    """Return a parameter that must be there."""
    value = query.get(name, "")
    if not value:
        raise RefusedError("50014", f"Parameter {name} can not be empty.", status=400)
    return value


def whole(query: Mapping[str, str], name: str) -> int | None:
    """Return a parameter that is a whole number, if it is there."""
    value = query.get(name, "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise RefusedError("51000", f"Parameter {name} error", status=400)
    return int(value)


def limit_of(query: Mapping[str, str], usual: int, most: int) -> int:
    """Return how many rows are asked for; the venue cuts what is too much."""
    limit = whole(query, "limit")
    return min(usual if limit is None else max(limit, 1), most)
