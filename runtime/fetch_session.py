"""Incremental fetches for aiokafka's consumers: a fetch names only what changed since the last one.

By itself aiokafka names every partition in each fetch and is told of every one, which with 60 of
them costs this process a millisecond and the broker another, whatever there is to read. The broker
can remember them between two fetches (KIP-227, sessions); it answers for those alone that have
news. https://cwiki.apache.org/confluence/display/KAFKA/KIP-227
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka import errors as kafka_errors
from aiokafka.protocol.fetch import FetchRequest, FetchRequestStruct

API_VERSION_MIN = 7
NO_SESSION = 0
FIRST_EPOCH = 0
EPOCH_MAX = 2**31 - 1
FORGOTTEN = (
    kafka_errors.FetchSessionIdNotFound.errno,
    kafka_errors.InvalidFetchSessionEpoch.errno,
)

Place = tuple[int, int]
"""Where a partition is read from, and how many bytes of it at most."""


class FetchSession:
    """What one broker knows of what this consumer reads; one fetch at a time."""

    def __init__(self) -> None:
        self._id = NO_SESSION
        self._epoch = FIRST_EPOCH
        self._known: dict[TopicPartition, Place] = {}
        self._asked: dict[TopicPartition, Place] = {}
        self._ends: dict[TopicPartition, int] = {}

    def narrowed(self, fetch: FetchRequest) -> "NarrowedFetch":
        """Return the fetch without what the broker knows."""
        self._asked = asked = {
            TopicPartition(topic, partition): (offset, bytes_max)
            for topic, partitions in fetch.topics
            for partition, offset, bytes_max in partitions
        }
        known = self._known
        changed = {tp: place for tp, place in asked.items() if known.get(tp) != place}
        gone = known.keys() - asked.keys()
        return NarrowedFetch(fetch, self._id, self._epoch, changed, gone)

    def answered(self, response: Any) -> None:
        """Take note of an answer without an error."""
        session_id = getattr(response, "session_id", NO_SESSION)
        if session_id == NO_SESSION:  # it has no room for us, or is too old
            self.lost()
            return
        self._epoch = 1 if self._epoch == EPOCH_MAX else self._epoch + 1
        self._id = session_id
        self._known = self._asked
        for topic, partitions in response.topics:
            for partition, error_code, end, *_ in partitions:
                if not error_code:
                    self._ends[TopicPartition(topic, partition)] = end

    def quiet(self, response: Any) -> Iterator[tuple[TopicPartition, int, int]]:
        """Yield what was asked for and not answered: no news of (partition, offset, its end)."""
        told = {
            TopicPartition(topic, partition)
            for topic, partitions in response.topics
            for partition, *_ in partitions
        }
        for tp, (offset, _) in self._known.items():
            if tp not in told and tp in self._ends:
                yield tp, offset, self._ends[tp]

    def forget(self) -> None:
        """Begin anew: the next fetch names everything, and ends the session that there may be."""
        self._epoch = FIRST_EPOCH
        self._known, self._ends = {}, {}

    def lost(self) -> None:
        """Begin anew where the broker knows of no session."""
        self.forget()
        self._id = NO_SESSION


class NarrowedFetch(FetchRequest):  # type: ignore[misc]
    """A fetch as an increment; whole where the broker is older than sessions."""

    def __init__(
        self,
        whole: FetchRequest,
        session_id: int,
        epoch: int,
        changed: Mapping[TopicPartition, Place],
        gone: set[TopicPartition],
    ) -> None:
        self.__dict__.update(whole.__dict__)
        self._whole = whole
        self._session = (session_id, epoch)
        by_topic: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for tp, (offset, bytes_max) in changed.items():
            by_topic[tp.topic].append((tp.partition, offset, bytes_max))
        self._topics = list(by_topic.items())
        gone_by_topic: defaultdict[str, list[int]] = defaultdict(list)
        for tp in gone:
            gone_by_topic[tp.topic].append(tp.partition)
        self._gone = list(gone_by_topic.items())

    def build(self, request_struct_class: type[FetchRequestStruct]) -> FetchRequestStruct:
        """Return what is sent, in the version that the broker speaks."""
        if request_struct_class.API_VERSION < API_VERSION_MIN:
            return self._whole.build(request_struct_class)
        struct: Any = super().build(request_struct_class)
        struct.session_id, struct.session_epoch = self._session
        struct.forgotten_topics_data = self._gone
        return struct


class SessionClient:
    """A consumer's client whose fetches are increments, a session for each broker."""

    def __init__(self, client: Any, subscriptions: Any) -> None:
        self._client = client
        self._subscriptions = subscriptions
        self._sessions: defaultdict[int, FetchSession] = defaultdict(FetchSession)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        """Send as aiokafka's client does."""
        if not isinstance(request, FetchRequest):
            return await self._client.send(node_id, request, **options)
        session = self._sessions[node_id]
        is_answered = False
        try:
            response = await self._client.send(node_id, session.narrowed(request), **options)
            if getattr(response, "error_code", 0) in FORGOTTEN:
                session.lost()  # it restarted, or gave our place to another
                response = await self._client.send(node_id, session.narrowed(request), **options)
            is_answered = getattr(response, "error_code", 0) == 0
        finally:
            if not is_answered:  # refused, cancelled, cut off: nobody knows what the broker knows
                session.forget()
        if is_answered:
            session.answered(response)
            self._date(session.quiet(response))
        return response

    def _date(self, quiet: Iterable[tuple[TopicPartition, int, int]]) -> None:
        """Note of partitions without news that their ends are as they were, now.

        Those with news are aiokafka's to note, together with their records.
        """
        subscription = self._subscriptions.subscription
        if subscription is None or subscription.assignment is None:
            return
        state_of, now_ms = subscription.assignment.state_value, int(1_000 * time.time())
        for tp, offset, end in quiet:
            state = state_of(tp)
            # Where it was sought meanwhile the answer is about another place.
            if state is not None and state.has_valid_position and state.position == offset:
                state.highwater = end
                state.timestamp = now_ms


def use_fetch_sessions(consumer: AIOKafkaConsumer) -> None:
    """Let a consumer that was just started fetch by increments."""
    fetcher: Any = consumer._fetcher  # noqa: SLF001 - aiokafka has no door for it
    fetcher._client = SessionClient(fetcher._client, consumer._subscription)  # noqa: SLF001
