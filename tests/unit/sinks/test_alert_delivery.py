"""Crossings to targets: again after failures, then a dead letter; secrets nowhere."""

import asyncio
import json
import logging

import pytest
from alerting import MARKET, SECRET, Webhook, price, rule
from structlog.testing import capture_logs

from runtime.backoff import Backoff
from schemas.alerts import DiskFree
from sinks.alerts import targets
from sinks.alerts.courier import Courier
from sinks.alerts.machine import Machine
from sinks.alerts.messages import LINES_MAX


class Post:
    """A service that answers as told, then takes everything."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.sent = []

    async def __call__(self, url, title, body) -> str:
        self.sent.append((url, title, body))
        return self.answers.pop(0) if self.answers else ""


def crossed(*rules, times=1):
    machine = Machine()
    machine.load(rules, ())
    for n in range(times):
        machine.take_price(MARKET, price(99, 2 * n))
        machine.take_price(MARKET, price(101, 2 * n + 1))
    return machine


def courier(machine, post, **options):
    return Courier(machine, post, pauses=Backoff(first_s=1, max_s=8, spread=0), **options)


async def turn(made, now_s):
    made.send_due(now_s)
    await made.wait(1)
    given_up = made.finish(now_s)
    for parcel, _ in given_up:
        parcel.settle(made._machine)
    return [letter for _, letter in given_up]


async def test_a_crossing_goes_to_every_target_once():
    machine = crossed(rule(to=["json://a", "json://b"], note="bitcoin", direction="up"))
    post = Post()
    made = courier(machine, post)
    assert await turn(made, 0) == []
    assert sorted(url for url, *_ in post.sent) == ["json://a", "json://b"]
    assert {title for _, title, _ in post.sent} == {"one: bitcoin"}
    (text,) = {body for *_, body in post.sent}
    assert text == (
        "binance:linear:BTCUSDT: the price came up to 101 (level 100), 1970-01-01 00:00:01 UTC"
    )
    assert machine.waiting == {}
    await turn(made, 99)
    assert len(post.sent) == 2


async def test_what_fails_is_tried_again_after_pauses_that_double_and_the_other_target_waits_not():
    machine = crossed(rule(to=["json://a", "json://b"], direction="up"))
    post = Post("refused", "", "refused")
    made = courier(machine, post)
    for now_s, sent in [(0, 2), (0.9, 2), (1, 3), (2.9, 3), (3, 4), (99, 4)]:
        await turn(made, now_s)
        assert len(post.sent) == sent, now_s
    assert machine.waiting == {}


async def test_what_waits_for_a_target_goes_in_one_message():
    machine = crossed(rule(direction="up"), times=LINES_MAX + 5)
    post = Post()
    await turn(courier(machine, post), 0)
    ((*_, body),) = post.sent
    assert body.count("\n") == LINES_MAX
    assert body.endswith("... and 5 more")
    assert machine.waiting == {}


async def test_what_no_try_brought_is_a_dead_letter_without_the_secret():
    machine = crossed(rule(direction="up"))
    post = Post(*["refused with 500"] * 9)
    made = courier(machine, post, tries_max=3)
    letters = [letter for now_s in (0, 1, 3, 99) for letter in await turn(made, now_s)]
    assert len(post.sent) == 3
    (letter,) = letters
    assert letter.reason == "alert one not delivered to json://127.0.0.1/****: refused with 500"
    told = json.loads(letter.payload)
    assert told["crossings"][0]["text"] == "the price came up to 101 (level 100)"
    assert SECRET not in letter.payload.decode()
    assert machine.waiting == {}


async def test_of_too_many_the_oldest_become_dead_letters_and_the_rest_is_delivered():
    machine = crossed(rule(direction="up"), times=5)
    post = Post()
    made = courier(machine, post, waiting_max=3)
    given = made.finish(0)
    letters = [letter for _, letter in given]
    for parcel, _ in given:
        parcel.settle(machine)
    assert [json.loads(each.payload)["crossings"][0]["number"] for each in letters] == [1, 2]
    await turn(made, 0)
    assert post.sent[0][2].count("\n") == 2


async def test_a_rule_that_is_gone_is_not_delivered_nor_tried_again():
    machine = crossed(rule(direction="up"))
    post = Post("refused")
    made = courier(machine, post)
    await turn(made, 0)
    machine.drop("one")
    await turn(made, 99)
    assert len(post.sent) == 1
    assert made._trials == {}


async def test_a_log_of_a_failure_holds_no_secret():
    machine = crossed(rule(direction="up"))
    with capture_logs() as logs:
        await turn(courier(machine, Post("refused")), 0)
    assert logs[0]["event"] == "alert_not_delivered"
    assert logs[0]["to"] == "json://127.0.0.1/****"
    assert SECRET not in str(logs)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"json://user:{SECRET}@hook.example:8443/{SECRET}?+Authorization={SECRET}",
         "json://hook.example:8443/****"),
        (f"JSONS://hook.example/{SECRET}", "jsons://hook.example/****"),
        (f"tgram://{SECRET}/123", "tgram://****"),
        (f"slack://{SECRET}/{SECRET}/{SECRET}", "slack://****"),
        (f"mailto://me:{SECRET}@mail.example", "mailto://****"),
        (f"json://[{SECRET}", "json://****"),
        (SECRET, "****"),
        (f"{SECRET * 4}://x", "****"),
    ],
)  # fmt: skip
def test_a_target_is_shown_without_its_secrets(url, shown):
    assert targets.masked(url) == shown
    assert SECRET not in targets.problem(url)


def test_a_url_that_no_service_knows_or_that_is_masked_is_a_problem():
    assert targets.problem("json://hook.example/x") == ""
    assert "is no URL" in targets.problem("pigeon://coop/x")
    assert "write the whole URL" in targets.problem("tgram://****")


async def test_a_service_that_refuses_or_is_away_is_told_and_nothing_is_logged(caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "asyncio"):  # as configure_logging has them
        logging.getLogger(name).setLevel(logging.WARNING)
    async with Webhook() as webhook:
        webhook.statuses = [403]
        assert await targets.send(webhook.url, "t", "b") == "refused with 403"
        assert await targets.send(webhook.url, "t", "b") == ""
        assert webhook.messages[0]["message"] == "b"
    assert await targets.send(webhook.url, "t", "b") == "not reached, or refused"
    assert SECRET not in caplog.text


async def test_a_service_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(targets, "SEND_WITHIN_S", 0.2)

    async def silent(reader, _writer):
        await reader.read()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reason = await targets.send(f"json://127.0.0.1:{port}/?rto=1", "t", "b")
    assert reason == "no answer within 0.2 s"


def test_a_path_that_is_not_there_has_no_free_space():
    from sinks.alerts.gauges import free_bytes

    assert free_bytes("/nowhere/at/all") is None
    assert free_bytes("/") > 0
    assert DiskFree.__struct_config__.tag == "disk-free"
