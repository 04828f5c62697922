"""One connection's life without its socket: subscribed, acknowledged, alive, over.

Time is an argument, in seconds of any clock that never goes back. The owner of the socket says what
is wanted, sends what ``due`` returns, reports what comes in, and asks ``verdict`` now and then.
"""

import math
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum

from ingest.exchanges.base import Ack, Control, Exchange, Limits, Rejected, Shutdown

ACK_TIMEOUT_S = 10.0
REFUSED_AGAIN_AFTER_S = 300.0
ARGUMENT_BYTES = 48  # around a topic in a request: the venue's names of channel and symbol
HOUR_S = 3_600.0
RENEWAL_REQUESTS = 2  # who leaves must also be able to come back


class End(Enum):
    """Why a connection must be replaced."""

    UNACKED = "unacked"
    REJECTED = "rejected"
    STALE = "stale"
    """Subscribed, and no data, or no answer to a ping, for too long."""
    PLANNED = "planned"
    """The venue will end it soon, by its age or by its own announcement."""


@dataclass(slots=True)
class _Request:
    """What was asked and is not answered."""

    topics: set[str]
    subscribes: bool
    sent_s: float
    was_refused: bool = False
    """A topic of it was refused by name."""


class Session:
    """The state machine of one connection; it begins when the socket is open."""

    def __init__(
        self,
        exchange: Exchange,
        limits: Limits,
        *,
        now_s: float,
        lifetime_s: float,
        stale_after_s: float,
    ) -> None:
        self.active: set[str] = set()
        """Acknowledged topics."""
        self.refused: dict[str, str] = {}
        """Topic to the venue's words."""
        self.rejection = ""
        """The venue's words, once it refused the connection."""
        self.has_data = False
        self.frame_at_s = now_s
        """When the last frame came."""
        self._exchange = exchange
        self._limits = limits
        self._wanted: dict[str, None] = {}
        self._renewing: set[str] = set()
        self._alone: set[str] = set()  # of a refused request: asked one by one to find the culprit
        self._requests: dict[int, _Request] = {}
        self._request_id = 0
        self._sent_s: deque[float] = deque(maxlen=limits.requests_per_s_max)
        self._sent_of_hour_s: deque[float] = deque(maxlen=limits.requests_per_hour_max)
        self._refused_s: dict[str, float] = {}
        self._retire_at_s = now_s + lifetime_s
        self._stale_after_s = stale_after_s
        self._began_s = self._data_at_s = now_s
        self._heard_at_s = now_s
        self._pinged_at_s = now_s
        self._was_live = False

    @property
    def kept_talking(self) -> bool:
        """Data came later than what a venue repeats when it is subscribed to."""
        return self._data_at_s - self._began_s > self._stale_after_s

    def want(self, topics: Iterable[str]) -> None:
        """Set what shall be subscribed from now on."""
        self._wanted = dict.fromkeys(topics)

    def renew(self, topics: Iterable[str]) -> None:
        """Unsubscribe and subscribe again what is active."""
        self._renewing.update(self.active.intersection(topics))

    @property
    def is_live(self) -> bool:
        """Every wanted topic is acknowledged, or refused by name."""
        return self.active.union(self.refused).issuperset(self._wanted)

    def due(self, now_s: float) -> list[bytes]:
        """Return the frames that must be sent now and may be, by the venue's rates."""
        frames = []
        self._split_refused(now_s)
        while (topics := self._next(now_s)) and self._may_send(now_s):
            subscribes = topics[0] not in self.active
            frames.append(self._request(topics, subscribes=subscribes, now_s=now_s))
        heartbeat = self._exchange.heartbeat
        if heartbeat and now_s - self._pinged_at_s >= heartbeat.interval_s:
            self._pinged_at_s = now_s
            frames.append(heartbeat.frame)
        return frames

    def heard(self, now_s: float, *, is_data: bool) -> None:
        """A frame came."""
        self._heard_at_s = self.frame_at_s = now_s
        if is_data:
            self._data_at_s = now_s
            self.has_data = True

    def paused(self, now_s: float) -> None:
        """Nothing was read: the silence up to now is ours, not the venue's."""
        self._data_at_s = self._heard_at_s = now_s

    def control(self, event: Control, now_s: float) -> None:
        """Anything but data came."""
        match event:
            case Ack(request_id, topic):
                self._answered(request_id, topic, None, now_s)
            case Rejected(None, reason, ""):
                self.rejection = reason
            case Rejected(request_id, reason, topic):
                self._answered(request_id, topic, reason, now_s)
            case Shutdown():
                self._retire_at_s = now_s
        if not self._was_live and self.active and self.is_live:
            self._was_live = True
            self._data_at_s = now_s  # silence counts from here

    def verdict(self, now_s: float) -> End | None:
        """Say whether the connection must be replaced, and why."""
        if self.rejection:
            return End.REJECTED
        if any(now_s - asked.sent_s > ACK_TIMEOUT_S for asked in self._requests.values()):
            return End.UNACKED
        if self._is_stale(now_s):
            return End.STALE
        if now_s >= self._retire_at_s or self._is_out_of_requests(now_s):
            return End.PLANNED
        return None

    def _is_out_of_requests(self, now_s: float) -> bool:
        """Say whether something is due that only a new connection may ask for within the hour."""
        left = self._requests_left(now_s)
        return (left < RENEWAL_REQUESTS and bool(self._renewing)) or (
            left < 1 and bool(self._next(now_s))
        )

    def _is_stale(self, now_s: float) -> bool:
        heartbeat = self._exchange.heartbeat
        if heartbeat and self._pinged_at_s - self._heard_at_s > 0:  # noqa: SIM102
            if now_s - self._pinged_at_s > heartbeat.timeout_s:
                return True
        return bool(self.active and self.is_live and now_s - self._data_at_s > self._stale_after_s)

    # -- asking

    def _next(self, now_s: float) -> list[str]:
        """Return the topics of the next request: to leave first, then to join."""
        asked = {topic for request in self._requests.values() for topic in request.topics}
        gone = self.active.difference(self._wanted)
        has_room = self._requests_left(now_s) >= RENEWAL_REQUESTS
        renewed = self._renewing & self.active if has_room else set()
        leaving = sorted(gone.union(renewed).difference(asked))
        if leaving:
            return self._fitting(leaving)
        joining = [t for t in self._wanted if t not in self.active and t not in asked]
        joining = [t for t in joining if now_s >= self._refused_s.get(t, now_s)]
        alone = [t for t in joining if t in self._alone]
        return alone[:1] or self._fitting(joining)

    def _fitting(self, topics: Collection[str]) -> list[str]:
        found: list[str] = []
        bytes_left = self._limits.request_bytes_max - ARGUMENT_BYTES
        for topic in topics:
            bytes_left -= len(topic) + ARGUMENT_BYTES
            if found and (bytes_left < 0 or len(found) >= self._limits.streams_per_request_max):
                break
            found.append(topic)
        return found

    def _request(self, topics: list[str], *, subscribes: bool, now_s: float) -> bytes:
        self._request_id += 1
        self._requests[self._request_id] = _Request(set(topics), subscribes, now_s)
        self._sent_s.append(now_s)
        if self._sent_of_hour_s.maxlen is not None:
            self._sent_of_hour_s.append(now_s)
        encode = self._exchange.subscribe if subscribes else self._exchange.unsubscribe
        return encode(topics, self._request_id)

    def _may_send(self, now_s: float) -> bool:
        if self._requests_left(now_s) < 1:
            return False
        second = self._sent_s
        return len(second) < (second.maxlen or 1) or now_s - second[0] >= 1.0

    def _requests_left(self, now_s: float) -> float:
        """Return how many requests the venue's hour still allows."""
        hour = self._sent_of_hour_s
        if hour.maxlen is None:
            return math.inf
        return hour.maxlen - sum(now_s - sent_s < HOUR_S for sent_s in hour)

    def _split_refused(self, now_s: float) -> None:
        """Ask the rest of a request one by one, where a refusal of one topic was all the answer."""
        for request_id, request in list(self._requests.items()):
            if request.was_refused and now_s - request.sent_s > ACK_TIMEOUT_S / 2:
                self._alone |= request.topics
                del self._requests[request_id]

    # -- answers

    def _answered(
        self, request_id: int | None, topic: str, refusal: str | None, now_s: float
    ) -> None:
        if request_id is None:
            request_id = next((n for n, r in self._requests.items() if topic in r.topics), None)
        request = self._requests.get(request_id) if request_id is not None else None
        if request is None:
            return
        topics = {topic} & request.topics if topic else set(request.topics)
        if not topics:  # the venue says it again, or names what was not asked
            return
        request.was_refused = request.was_refused or refusal is not None
        request.topics -= topics
        if not request.topics and request_id is not None:
            del self._requests[request_id]
        if not request.subscribes:  # refused or not: it was not subscribed, or is no more
            self.active -= topics
            self._renewing -= topics
        elif refusal is None:
            self.active |= topics
            for name in topics:
                self.refused.pop(name, None)
                self._refused_s.pop(name, None)
            self._alone -= topics
        elif len(topics) > 1:
            self._alone |= topics
        else:
            self.refused[next(iter(topics))] = refusal
            self._refused_s[next(iter(topics))] = now_s + REFUSED_AGAIN_AFTER_S
