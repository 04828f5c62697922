"""The routes about intervals: what is made, said so, refused with the reason."""

import msgspec
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from runtime.errors import Poison, Retriable
from schemas.control import IntervalControl
from schemas.intervals import parse_intervals
from schemas.wanted import INTERVALS_MAX
from sinks.gateway.intervals import IntervalTable, build_intervals

PATH = "/api/v1/intervals"
SETTINGS = parse_intervals(["1m", "5m"])


class World:
    """A log that is read back at once, and a client of the routes over it."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []
        self.log: list[tuple[str, bytes | None]] = []
        self.kafka_is_away = False
        self.table = IntervalTable(SETTINGS, lambda w: self.told.append([i.text for i in w.made]))
        web = FastAPI()
        web.include_router(build_intervals(self.table, self.write))
        self.client = AsyncClient(transport=ASGITransport(web), base_url="http://gateway")

    async def write(self, changes) -> None:
        if self.kafka_is_away:
            raise Retriable("Kafka did not acknowledge it", retry_after_s=2.0)
        for key, control in changes.items():
            value = control and msgspec.json.encode(control)
            self.log.append((key, value))
            self.table.take(key.encode(), value)

    async def add(self, text: str):
        return await self.client.post(PATH, json={"interval": text})

    async def remove(self, text: str):
        return await self.client.request("DELETE", PATH, json={"interval": text})

    async def made(self, query: str = "") -> list[str]:
        answer = (await self.client.get(PATH + query)).json()
        assert answer["count"] == len(answer["intervals"])
        return [each["interval"] for each in answer["intervals"]]


@pytest.fixture
async def world():
    world = World()
    async with world.client:
        yield world


async def test_an_interval_is_added_in_its_canonical_text_told_and_removed(world) -> None:
    answer = await world.add("60m")
    assert answer.status_code == 202
    view = answer.json()
    assert (view["interval"], view["length_ms"], view["anchor"]) == ("1h", 3_600_000, "")
    assert (view["enabled"], view["source"]) == (True, "control")
    assert (await world.add("1h")).status_code == 200
    assert await world.made() == ["1m", "5m", "1h"]
    assert (await world.remove("1h")).status_code == 202
    assert (await world.remove("1h")).status_code == 200
    assert await world.made() == ["1m", "5m"]
    assert await world.made("?removed=true") == ["1m", "5m", "1h"]
    assert world.told == [["1m", "5m"], ["1m", "5m", "1h"], ["1m", "5m"]]
    controls = [msgspec.json.decode(value, type=IntervalControl) for _, value in world.log]
    assert [(key, c.enabled) for (key, _), c in zip(world.log, controls, strict=True)] == [
        ("interval:1h", True),
        ("interval:1h", False),
    ]
    assert all(control.changed_ms > 1_700_000_000_000 for control in controls)


async def test_what_the_settings_make_can_be_removed_and_taken_back(world) -> None:
    assert (await world.remove("5m")).json()["enabled"] is False
    assert await world.made() == ["1m"]
    answer = await world.client.delete(f"{PATH}/5m")
    assert (answer.json()["enabled"], answer.json()["source"]) == (True, "settings")
    assert world.log[-1] == ("interval:5m", None)


@pytest.mark.parametrize("text", ["1w@mon", "1M", "1D@tz=America/Argentina/Buenos_Aires"])
async def test_anchored_ones_are_named_in_the_body_or_in_the_path(world, text) -> None:
    assert (await world.add(text)).json()["interval"] == text
    quoted = text.replace("/", "%2F")
    assert (await world.client.delete(f"{PATH}/{quoted}")).json()["enabled"] is False
    assert await world.made() == ["1m", "5m"]


async def test_a_preset_is_all_of_its_intervals(world) -> None:
    answer = await world.add("fibonacci")
    assert answer.json()["count"] == 19
    assert len(await world.made()) == 19  # 1m and 5m are of the ladder


async def test_the_window_of_any_moment_is_told(world) -> None:
    await world.add("1M")
    leap_ms = 1_709_164_800_000  # 2024-02-29
    listed = (await world.client.get(f"{PATH}?at_ms={leap_ms}")).json()["intervals"]
    assert (listed[-1]["interval"], listed[-1]["open_ms"]) == ("1M", leap_ms - 28 * 86_400_000)
    assert listed[-1]["end_ms"] == leap_ms + 86_400_000


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("7x", 422, "'7x' is not an interval"),
        ("5w", 422, "longer than 30 days"),
        ("1D@tz=Mars/Olympus", 422, "no time zone"),
        ("4h@tz=Asia/Tokyo", 422, "can follow a time zone"),
    ],
)
async def test_what_means_nothing_is_refused_with_the_reason(world, text, code, reason) -> None:
    for answer in (await world.add(text), await world.remove(text)):
        assert answer.status_code == code
        assert reason in answer.json()["detail"]["reason"]
    assert not world.log


@pytest.mark.parametrize("body", [{}, {"interval": ""}, {"interval": 5}, {"interval": "x" * 65}])
async def test_a_body_of_another_shape_is_refused(world, body) -> None:
    assert (await world.client.post(PATH, json=body)).status_code == 422
    assert not world.log


async def test_one_interval_has_to_remain(world) -> None:
    await world.remove("5m")
    answer = await world.remove("1m")
    assert answer.status_code == 422
    assert "has to remain" in answer.json()["detail"]["reason"]
    assert await world.made() == ["1m"]


async def test_what_is_not_made_is_unknown_and_what_is_near_is_named(world) -> None:
    for answer in (await world.remove("15m"), await world.client.delete(f"{PATH}/15m")):
        assert answer.status_code == 404
        assert answer.json()["detail"] == {
            "reason": "no 15m candles are made here", "near": ["5m", "1m"],
        }  # fmt: skip


async def test_no_more_than_the_limit_is_made(world) -> None:
    for n in range(10, 10 + INTERVALS_MAX - 2):
        assert (await world.add(f"{n}m")).status_code == 202
    answer = await world.add("1w")
    assert answer.status_code == 422
    assert str(INTERVALS_MAX) in answer.json()["detail"]["reason"]
    assert (await world.add("10m")).status_code == 200


async def test_a_wish_that_may_not_have_been_written_is_answered_so(world) -> None:
    world.kafka_is_away = True
    answer = await world.add("1h")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "ask again" in answer.json()["detail"]["reason"]
    assert (await world.add("7x")).status_code == 422


def test_a_record_that_cannot_be_read_is_poison(world) -> None:
    with pytest.raises(Poison, match="no interval"):
        world.table.take(b"interval:1h", b"{")
    assert world.told == [["1m", "5m"]]
