"""Refresh tokens: one use each, by the topic's order, whatever is read again or compacted away."""

import itertools

import msgspec
import pytest

from runtime.errors import Poison
from schemas.keys import encode_family
from sinks.gateway.security import families as module
from sinks.gateway.security.denied import Denied
from sinks.gateway.security.families import Families
from sinks.gateway.security.tokens import Claims


def claims(number=0, family="f", key_id="k") -> Claims:
    return Claims(key_id, "viewer", 1_000, family, number)


def told(table: Families, *records) -> Families:
    for record in records:
        table.take(record.id.encode(), encode_family(record))
    return table


def use(table: Families, number=0, call="a", **whose):
    return table.used(claims(number, **whose), call, 5_000)


def test_each_token_of_a_family_is_used_once_one_after_another():
    table = Families()
    for number in range(5):
        record = use(table, number, f"call {number}")
        assert not record.ended
        assert table.is_first(told(table, record) and record)
    for number in range(5):
        assert use(table, number, "thief").ended


def test_a_second_use_ends_the_family_and_a_first_one_of_another_does_not():
    table = told(Families(), use(Families(), 0, "a"))
    told(table, use(table, 0, "b"))
    assert table.is_ended("f")
    assert use(table, 1, "a").ended
    assert not use(table, 0, family="g").ended
    assert not table.is_ended("g")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_uses_at_once_the_first_of_the_topic_is_told_so_and_the_family_ends(order):
    """Three gateways that all took the token for unused."""
    records = [use(Families(), 0, call) for call in "abc"]
    table = told(Families(), records[order[0]])
    assert [table.is_first(record) for record in records].count(True) == 1
    told(table, records[order[1]])
    assert table.is_ended("f")
    assert not any(table.is_first(record) for record in records)


def test_what_is_read_again_changes_nothing():
    table, records = Families(), []
    for number in range(3):
        records.append(use(table, number, f"call {number}"))
        told(table, records[-1], records[-1])
    assert not table.is_ended("f")


def test_the_last_record_alone_knows_that_the_family_ended():
    table = told(Families(), use(Families(), 0, "a"))
    last = msgspec.structs.replace(use(Families(), 0, "b"), ended=True)
    told(table, last)
    assert table.is_ended("f")
    assert told(Families(), last).is_ended("f")  # compaction kept nothing else
    assert use(told(Families(), last), 7, "c").ended


def test_an_old_token_used_at_a_gateway_that_is_behind_ends_the_family_for_all():
    behind = use(Families(), 0, "thief")
    ahead = Families()
    for number in range(3):
        told(ahead, use(ahead, number, f"call {number}"))
    told(ahead, behind)
    assert ahead.is_ended("f")
    assert use(ahead, 3, "x").ended


def test_families_are_forgotten_when_their_newest_token_has_expired_and_not_before():
    table = told(Families(), use(Families()), use(Families(), family="g"))
    table.forget(5_000)
    assert len(table) == 2
    table.forget(5_001)
    assert len(table) == 0
    assert table._of_key == {}


def test_used_tokens_are_never_forgotten_to_make_room(monkeypatch):
    monkeypatch.setattr(module, "FAMILIES_PER_KEY_MAX", 3)
    monkeypatch.setattr(module, "FAMILIES_MAX", 5)
    table = Families()
    for at in range(3):
        told(table, use(table, family=f"f{at}"))
    with pytest.raises(Denied) as denied:
        use(table, family="more")
    assert (denied.value.status, "retry-after" in denied.value.headers) == (429, True)
    assert not use(table, 1, family="f0").ended  # those that live go on
    for at in range(2):
        told(table, use(table, family=f"g{at}", key_id="other"))
    with pytest.raises(Denied) as denied:
        use(table, family="more", key_id="other")
    assert denied.value.status == 503
    assert use(table, family="f0").ended


def test_a_record_that_is_none_or_about_another_is_poison_and_no_value_forgets():
    table = told(Families(), use(Families()))
    for key, value in ((b"g", encode_family(use(Families()))), (b"f", b"{}"), (b"\xff", b"[")):
        with pytest.raises(Poison):
            table.take(key, value)
    table.take(b"f", None)
    assert len(table) == 0
