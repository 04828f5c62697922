"""Fencing: whose records recovery believes."""

from types import SimpleNamespace

import pytest

from processors.fencing import HEADER, NOBODY, FencedStore, Token, token_of


class Log:
    """A changelog, and a store that reads it."""

    def __init__(self) -> None:
        self.store = FencedStore("memory://", None, None, table_name="states")
        self.events: list[SimpleNamespace] = []

    def write(self, key: bytes, value: bytes | None, by: Token | None, partition: int = 0) -> None:
        headers = by.headers() if by else ()
        offset = sum(event.message.partition == partition for event in self.events)
        message = SimpleNamespace(partition=partition, offset=offset, headers=headers, value=value)
        self.events.append(SimpleNamespace(key=key, value=value, message=message))

    def read(self, since: int = 0) -> dict[bytes, bytes]:
        self.store.apply_changelog_batch(self.events[since:], lambda key: key, lambda value: value)
        return self.store.records(0)


@pytest.fixture
def log() -> Log:
    return Log()


OLD, NEW = Token(1, 7), Token(2, 8)


def test_what_an_owner_writes_after_its_successor_is_refused(log) -> None:
    log.write(b"k", b"1", OLD)
    log.write(b"@0", b"1", NEW)
    log.write(b"k", b"late", OLD)
    log.write(b"q", b"late too", OLD)
    assert log.read() == {b"k": b"1", b"@0": b"1"}
    assert log.store.refused[0] == {b"k", b"q"}
    assert log.store.tokens[0] == NEW


def test_a_key_that_its_owner_writes_again_is_refused_no_more(log) -> None:
    log.write(b"k", b"1", NEW)
    log.write(b"k", b"late", OLD)
    log.write(b"k", b"2", NEW)
    assert log.read() == {b"k": b"2"}
    assert log.store.refused[0] == set()


def test_of_two_owners_of_one_term_the_later_generation_counts(log) -> None:
    log.write(b"k", b"1", Token(3, 9))
    log.write(b"k", b"late", Token(3, 8))
    assert log.read() == {b"k": b"1"}


def test_a_new_term_counts_though_the_group_counts_anew(log) -> None:
    log.write(b"k", b"1", Token(3, 900))
    log.write(b"k", b"2", Token(4, 1))
    assert log.read() == {b"k": b"2"}


def test_partitions_have_owners_of_their_own(log) -> None:
    log.write(b"k", b"1", NEW, partition=1)
    log.write(b"q", b"1", OLD, partition=0)
    assert log.read() == {b"q": b"1"}
    assert log.store.records(1) == {b"k": b"1"}


def test_records_without_a_token_load_until_there_is_an_owner(log) -> None:
    log.write(b"k", b"1", None)
    log.write(b"k", b"2", None)
    assert log.read() == {b"k": b"2"}
    assert log.store.tokens[0] == NOBODY
    log.write(b"@0", b"1", Token(1, 3))
    log.write(b"k", b"late", None)
    assert log.read(since=2) == {b"k": b"2", b"@0": b"1"}


def test_a_partition_that_is_read_anew_is_read_as_if_for_the_first_time(log) -> None:
    """It was another worker's meanwhile; what is in memory says nothing about its records."""
    log.write(b"k", b"1", OLD)
    log.write(b"@0", b"1", NEW)
    assert log.read() == {b"k": b"1", b"@0": b"1"}
    log.store.remember(0, b"gone", b"1")
    assert log.read() == {b"k": b"1", b"@0": b"1"}
    assert log.store.refused[0] == set()


def test_a_tombstone_removes_a_key(log) -> None:
    log.write(b"k", b"1", NEW)
    log.write(b"k", None, NEW)
    assert log.read() == {}


def test_tokens_pass_through_headers_of_either_shape() -> None:
    assert token_of(NEW.headers()) == NEW
    assert token_of(dict(NEW.headers())) == NEW
    assert token_of([("other", b"x"), (HEADER, b"5.6")]) == Token(5, 6)
    assert token_of(None) == token_of(()) == NOBODY
