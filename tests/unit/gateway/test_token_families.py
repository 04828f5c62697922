"""Refresh tokens: one use each, by the topic's order, whatever is read again or compacted away."""

import itertools
import time

import jwt
import msgspec
import pytest

from runtime.errors import Poison
from runtime.settings import Settings
from schemas.keys import encode_family, encode_key
from sinks.gateway.compacted import ACKNOWLEDGED_WITHIN_S, READ_BACK_WITHIN_S
from sinks.gateway.security import families as module
from sinks.gateway.security.denied import Denied
from sinks.gateway.security.doorkeeper import Doorkeeper
from sinks.gateway.security.families import Families
from sinks.gateway.security.keys import KeyTable, make_key
from sinks.gateway.security.tokens import LEEWAY_S, Claims, Tokens


def claims(number=0, family="f", key_id="k") -> Claims:
    return Claims(key_id, "viewer", 1_000, family, number)


def told(table: Families, *records) -> Families:
    for record in records:
        table.take(record.id.encode(), encode_family(record))
    return table


def use(table: Families, number=0, call="a", **whose):
    return table.used(claims(number, **whose), call, 2_000, 5_000)


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


@pytest.mark.parametrize(("access_s", "refresh_s"), [(900, 604_800), (86_400, 60)])
def test_an_ended_family_is_known_as_long_as_its_newest_token_opens(access_s, refresh_s):
    """The next pair is issued when the use was written and read back, seconds later."""
    table, keys, now_s = Families(), KeyTable(), int(time.time())
    _, key = make_key("desk", "viewer", 1)
    keys.take(key.id.encode(), encode_key(key))
    tokens = Tokens({"k1": "s" * 32}, access_s, refresh_s)
    keeper = Doorkeeper(Settings(_env_file=None), keys, tokens, table)
    first = tokens.issue(key.id, "viewer", now_s)
    use = keeper.use(first.refresh_token, "a", now_s)
    told(table, use)
    newest = keeper.refreshed(
        first.refresh_token, now_s + ACKNOWLEDGED_WITHIN_S + READ_BACK_WITHIN_S
    )
    told(table, keeper.use(first.refresh_token, "thief", now_s))
    for text in (newest.access_token, newest.refresh_token):
        expires_s = jwt.decode(text, options={"verify_signature": False})["exp"]
        table.forget((expires_s + LEEWAY_S) * 1_000)
        assert table.is_ended(use.id)


def test_a_key_with_too_many_families_loses_the_one_idle_the_longest(monkeypatch):
    monkeypatch.setattr(module, "FAMILIES_PER_KEY_MAX", 3)
    table = Families()
    for at in range(3):
        told(table, use(table, family=f"f{at}"))
    told(table, use(table, 1, family="f0"), use(table, family="other", key_id="other"))
    for new, idle in (("g0", "f1"), ("g1", "f2"), ("g2", "f0")):
        record = use(table, family=new)
        pushed_out = table.pushed_out(record)
        assert (pushed_out.id, pushed_out.ended) == (idle, True)
        told(table, pushed_out, record)
        assert table.is_ended(idle)
        assert table.pushed_out(use(table, 1, family=new)) is None  # those that live go on
    assert not table.is_ended("other")
    table.forget(5_001)
    assert (len(table), table._of_key) == (0, {})


def test_used_tokens_are_never_forgotten_to_make_room(monkeypatch):
    monkeypatch.setattr(module, "FAMILIES_KEPT_PER_KEY_MAX", 3)
    monkeypatch.setattr(module, "FAMILIES_MAX", 5)
    table = Families()
    for at in range(3):
        told(table, use(table, family=f"f{at}"))
    with pytest.raises(Denied) as denied:
        use(table, family="more")
    assert (denied.value.status, denied.value.headers["retry-after"]) == (429, "3")
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
    with pytest.raises(Poison):
        told(table, use(Families(), 1, key_id="other"))
    table.take(b"f", None)
    assert len(table) == 0
