"""One connection's life without its socket: subscribe, acknowledged, live, over.

Time is an argument, in seconds of any clock that never goes back. The owner of the socket sends
what ``due`` returns, reports what comes in, and asks ``verdict`` now and then.
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum

from ingest.exchanges.base import Ack, Control, Exchange, Market, Rejected, Shutdown

ACK_TIMEOUT_S = 10.0


class End(Enum):
    """Why a connection must be replaced."""

    UNACKED = "unacked"
    REJECTED = "rejected"
    STALE = "stale"
    """Subscribed, and no trade for too long."""
    PLANNED = "planned"
    """The venue will end it soon, by its age or by its own announcement."""


class Session:
    """The state machine of one connection; it begins when the socket is open."""

    def __init__(
        self,
        exchange: Exchange,
        market: Market,
        streams: Sequence[str],
        *,
        now_s: float,
        lifetime_s: float,
        stale_after_s: float,
    ) -> None:
        size = market.limits.streams_per_request_max
        self._requests = deque(
            exchange.subscribe(streams[i : i + size], i // size + 1)
            for i in range(0, len(streams), size)
        )
        self._asked = 0
        self._unacked: dict[int, float] = {}  # request id to the time it was sent
        self._sent_s: deque[float] = deque(maxlen=market.limits.requests_per_s_max)
        self._retire_at_s = now_s + lifetime_s
        self._stale_after_s = stale_after_s
        self._data_at_s = now_s
        self.has_data = False
        self.rejection = ""
        """The venue's words, once it refused."""

    @property
    def is_live(self) -> bool:
        """Every stream is subscribed and acknowledged."""
        return not self._requests and not self._unacked

    def due(self, now_s: float) -> list[bytes]:
        """Return the requests that may be sent now within the venue's rate."""
        frames = []
        while self._requests and self._may_send(now_s):
            self._asked += 1
            self._unacked[self._asked] = now_s
            self._sent_s.append(now_s)
            frames.append(self._requests.popleft())
        return frames

    def data(self, now_s: float) -> None:
        """A trade came."""
        self._data_at_s = now_s
        self.has_data = True

    def paused(self, now_s: float) -> None:
        """Nothing was read: the silence up to now is ours, not the venue's."""
        self._data_at_s = now_s

    def control(self, event: Control, now_s: float) -> None:
        """Anything but a trade came."""
        match event:
            case Ack(request_id):
                self._unacked.pop(request_id, None)
                if self.is_live:
                    self._data_at_s = now_s  # silence counts from here
            case Rejected(_, reason):
                self.rejection = reason
            case Shutdown():
                self._retire_at_s = now_s

    def verdict(self, now_s: float) -> End | None:
        """Say whether the connection must be replaced, and why."""
        if self.rejection:
            return End.REJECTED
        if any(now_s - sent_s > ACK_TIMEOUT_S for sent_s in self._unacked.values()):
            return End.UNACKED
        if now_s >= self._retire_at_s:
            return End.PLANNED
        if self.is_live and now_s - self._data_at_s > self._stale_after_s:
            return End.STALE
        return None

    def _may_send(self, now_s: float) -> bool:
        sent = self._sent_s
        return len(sent) < (sent.maxlen or 1) or now_s - sent[0] >= 1.0
