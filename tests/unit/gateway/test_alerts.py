"""The routes of alerts: rules written, shown without secrets, refused with the reason."""

import json

import pytest
from alerting import FIELDS, SECRET, rule
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from fibstream.alerts import rule_body
from runtime.errors import Poison, Retriable
from schemas.alerts import AlertState, Crossing, Trigger, decode_rule, encode_alert
from schemas.topics import ALERT_STATES, ALERTS
from sinks.gateway.alert_rules import AlertTable
from sinks.gateway.alerts import build_alerts

PATH = "/api/v1/alerts"
URL = f"json://127.0.0.1:9/{SECRET}"
RULE = {
    "data_type": "price-crosses", "id": "btc", "symbol": "BTCUSDT", "level": 100.10, "to": [URL],
}  # fmt: skip


class World:
    """A log that is read back at once, and a client of the routes over it."""

    def __init__(self) -> None:
        self.log, self.sent, self.answers = [], [], []
        self.kafka_is_away = False
        self.table = AlertTable()
        web = FastAPI()
        web.include_router(build_alerts(self.table, self.write, self.send))
        self.client = AsyncClient(transport=ASGITransport(web), base_url="http://gateway")

    async def write(self, changes) -> None:
        if self.kafka_is_away:
            raise Retriable("Kafka did not acknowledge it", retry_after_s=2.0)
        for key, value in changes.items():
            self.log.append((key, value))
            self.table.take(ALERTS.name, key.encode(), value and encode_alert(value))

    async def send(self, url, title, body) -> str:
        self.sent.append((url, title, body))
        return self.answers.pop(0) if self.answers else ""

    async def add(self, **changes):
        wished = {name: value for name, value in {**RULE, **changes}.items() if value is not None}
        return await self.client.post(PATH, json=wished)


@pytest.fixture
async def world():
    world = World()
    async with world.client:
        yield world


async def test_a_rule_is_written_shown_without_its_secret_and_removed(world):
    answer = await world.add()
    assert answer.status_code == 202
    ((key, written),) = world.log
    assert (key, written.to, str(written.level)) == ("btc", [URL], "100.1")
    assert written.changed_ms > 0
    listed = await world.client.get(PATH)
    assert listed.json()["count"] == 1
    shown = (await world.client.get(f"{PATH}/btc")).json()
    assert shown == answer.json() == listed.json()["alerts"][0]
    assert shown["to"] == ["json://127.0.0.1:9/****"]
    assert (shown["level"], shown["direction"], shown["waiting"]) == (100.1, "both", 0)
    gone = await world.client.delete(f"{PATH}/btc")
    assert gone.status_code == 200
    assert world.log[-1] == ("btc", None)
    for each in (answer, listed, gone):
        assert SECRET not in each.text
    assert (await world.client.get(f"{PATH}/btc")).status_code == 404


async def test_the_same_rule_again_writes_nothing_and_a_changed_one_keeps_its_targets(world):
    await world.add()
    assert (await world.add()).status_code == 200
    assert len(world.log) == 1
    assert (await world.add(to=None, level=200)).status_code == 202
    assert (world.log[-1][1].to, world.log[-1][1].level) == ([URL], 200)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data_type": "telepathy"}, "data_type must be one of price-crosses, "),
        ({"data_type": None}, "data_type must be one of"),
        ({"lvl": 5}, "price-crosses has no field 'lvl'; it has "),
        ({"level": None}, "Object missing required field `level`"),
        ({"level": 0}, "level must be a number above 0, not 0"),
        ({"level": "high"}, "Invalid decimal string - at `$.level`"),
        ({"level": "NaN"}, "level must be a number above 0"),
        ({"symbol": "BTC*"}, "symbol must name one symbol"),
        ({"channel": "swap"}, "channel must be spot, linear or *, not 'swap'"),
        ({"rearm_percent": 100}, "rearm_percent must be from 0 to under 100"),
        ({"direction": "sideways"}, "Invalid enum value 'sideways' - at `$.direction`"),
        ({"id": "Big One"}, "matching regex"),
        ({"id": "one\n"}, "id must not end with a newline"),
        ({"cooldown_s": -1}, "Expected `int` >= 0 - at `$.cooldown_s`"),
        ({"to": []}, "length >= 1 - at `$.to`"),
        ({"to": None}, "missing required field `to`"),
        ({"to": [f"pigeon://{SECRET}"]}, "to: pigeon://**** is no URL that Apprise can use"),
        ({"to": ["json://127.0.0.1:9/****"]}, "is masked: write the whole URL"),
        ({"to": [f"json://x/{SECRET}"] * 9}, "length <= 8 - at `$.to`"),
    ],
)
async def test_a_bad_rule_is_refused_with_the_reason_and_without_the_secret(world, change, reason):
    answer = await world.add(**change)
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]["reason"]
    assert SECRET not in answer.text
    assert world.log == []


@pytest.mark.parametrize(
    ("kind", "change", "reason"),
    [
        ("price-moves", {"percent": 100}, "percent must be under 100"),
        ("price-moves", {"within_s": 5}, ">= 10 - at `$.within_s`"),
        ("volume-spike", {"interval": "7x"}, "interval: '7x' is not an interval"),
        ("gap-open", {"longer_s": 0}, ">= 1 - at `$.longer_s`"),
        ("stream-silent", {"kind": "smoke"}, "at `$.kind`"),
        ("consumer-lag", {"above": 0}, ">= 1 - at `$.above`"),
        ("disk-free", {"below_gib": -3}, "below_gib must be a number above 0"),
    ],
)
async def test_every_kind_has_its_own_checks(world, kind, change, reason):
    fields = json.loads(json.dumps(FIELDS[kind], default=float))
    body = {"data_type": kind, "id": "x", "to": [URL], **fields}
    assert (await world.client.post(PATH, json=body)).status_code == 202
    answer = await world.client.post(PATH, json=body | change)
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]["reason"]


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"", 422), (b"[]", 422), (b"{", 422), (b'"x"', 422), (b"\xff", 422), (b"[" * 9_000, 422),
     (b"x" * 70_000, 413)],
)  # fmt: skip
async def test_a_body_that_is_no_rule_is_refused(world, body, code):
    assert (await world.client.post(PATH, content=body)).status_code == code


async def test_the_test_button_sends_to_every_target_now_and_tells_what_became_of_it(world):
    await world.add(to=[URL, "tgram://123456789:abcdefghijklmnop/1"])
    world.answers = ["", "refused with 401"]
    answer = (await world.client.post(f"{PATH}/btc/test")).json()
    assert answer == {
        "id": "btc",
        "ok": False,
        "deliveries": [
            {"to": "json://127.0.0.1:9/****", "ok": True, "reason": ""},
            {"to": "tgram://****", "ok": False, "reason": "refused with 401"},
        ],
    }
    assert world.sent[0][0] == URL
    assert (await world.client.post(f"{PATH}/btd/test")).json()["detail"]["near"] == ["btc"]


async def test_while_kafka_is_away_nothing_is_promised(world):
    world.kafka_is_away = True
    answer = await world.add()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_what_became_of_a_rule_is_shown(world):
    await world.add()
    state = AlertState(
        rule="btc", subject="binance:linear:BTCUSDT", version=1, position=1, crossings=3,
        triggers={"up": Trigger(is_armed=False, fired_ms=77, fired_position=1)},
        waiting=[Crossing(number=3, at_ms=77, text="", left=[0])],
    )  # fmt: skip
    world.table.take(ALERT_STATES.name, state.key.encode(), encode_alert(state))
    shown = (await world.client.get(f"{PATH}/btc")).json()
    assert (shown["fired_ms"], shown["crossings"], shown["waiting"]) == (77, 3, 1)
    assert shown["active"] == ["binance:linear:BTCUSDT"]
    world.table.take(ALERT_STATES.name, state.key.encode(), None)
    assert (await world.client.get(f"{PATH}/btc")).json()["fired_ms"] is None


def test_a_record_that_is_no_rule_is_refused_without_its_bytes():
    with pytest.raises(Poison) as refused:
        AlertTable().take(ALERTS.name, b"x", json.dumps({"to": [SECRET]}).encode())
    assert SECRET not in refused.value.reason
    assert refused.value.payload == b""


def test_the_command_types_its_fields_and_leaves_out_targets_that_are_not_named():
    body = rule_body("drop", "price-moves", ["symbol=*", "percent=5.5", "within_s=60"], [URL])
    made = decode_rule(body)
    assert (str(made.percent), made.within_s, made.to) == ("5.5", 60, [URL])
    assert "to" not in json.loads(rule_body("all", "gap-open", ["longer_s=60"], []))
    assert rule("gap-open").longer_s == 60


@pytest.mark.parametrize(
    ("fields", "reason"),
    [(["longer"], "'longer' is no FIELD=VALUE"), (["longer_s=x"], "Expected `int`, got `str`")],
)
def test_the_command_says_what_is_wrong_with_a_field(capsys, fields, reason):
    import typer

    with pytest.raises(typer.Exit):
        rule_body("all", "gap-open", fields, [])
    assert reason in capsys.readouterr().err
