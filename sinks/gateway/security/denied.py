"""Why a caller is not let in, with what HTTP says about it."""

import math
from collections.abc import Mapping

BAD = 400
UNKNOWN = 401
FORBIDDEN = 403
NOT_FOUND = 404
TOO_MANY = 429
TOO_LARGE = 431
UNAVAILABLE = 503


class Denied(Exception):  # noqa: N818 - reads as what it says
    """A call that is not obeyed; ``kind`` is a word of few for the metrics."""

    def __init__(
        self, status: int, reason: str, *, kind: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.kind = kind
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that belong to the status."""
        if self.retry_after_s is not None:
            return {"retry-after": str(max(1, math.ceil(self.retry_after_s)))}
        if self.status in {BAD, TOO_LARGE}:
            return {"connection": "close"}  # where the next request begins is not certain
        if self.status == UNKNOWN:
            return {"www-authenticate": 'Bearer realm="fibstream", Basic realm="fibstream"'}
        return {}
