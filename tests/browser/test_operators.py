"""Who may do what on the page: operators turn streams on and off, strangers sign in first."""

import json
import re

import httpx
import pytest
from playwright.async_api import expect
from pydantic import SecretStr

from schemas.streams import StreamKey
from sinks.gateway.security.keys import generate, hash_text
from tests.support.browsing import MARKS

pytestmark = MARKS
_, ADMIN = generate()
BOOKS = StreamKey("binance", "linear", "ETHUSDT", "books", "ws")
KEYS = {"gateway_admin_key_hash": hash_text(ADMIN), "gateway_jwt_keys": SecretStr("k1:" + "s" * 32)}
STRANGERS = ["401"]  # what the browser says of a refused question


async def sign_in(page, secret: str, user: str = "") -> None:
    await page.get_by_test_id("signin-secret").fill(secret)
    await page.get_by_test_id("signin-user").fill(user)
    await page.get_by_test_id("signin-submit").click()


async def made(stage, role: str) -> dict:
    async with httpx.AsyncClient(base_url=stage.url, headers={"X-API-Key": ADMIN}) as http:
        answer = await http.post("/api/v1/keys", json={"name": f"a-{role}", "role": role})
        assert answer.status_code == 201
        return answer.json()


async def test_an_operator_adds_a_stream_turns_a_knob_and_removes_it(stage, look):
    await stage.list_symbols()
    await stage.put_past("1m", 3)
    await stage.start()
    async with look(stage, allowed=["404"]) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await page.keyboard.press("s")
        said = page.get_by_test_id("streams-said")
        await expect(page.get_by_test_id("add-exchange")).to_have_value("binance")
        await page.get_by_test_id("add-kind").select_option("books")
        await page.get_by_test_id("add-symbol").fill("ETHUSD")
        await page.get_by_test_id("add-submit").click()
        await expect(said).to_contain_text("lists no symbol 'ETHUSD'")
        await page.get_by_test_id("add-near").get_by_text("ETHUSDT").click()
        await page.get_by_test_id("add-submit").click()
        await expect(said).to_contain_text(
            "books of ETHUSDT (binance linear) is wanted from now on"
        )
        name = " ".join(BOOKS)
        stream = page.get_by_test_id(f"stream-{name}")
        await expect(stream).to_contain_text("not told yet")
        await stage.tell(BOOKS, "live")
        await expect(stream).to_have_attribute("data-state", "live")
        knob = page.get_by_test_id(f"db_writes_enabled-{name}")
        await expect(knob).to_have_attribute("aria-pressed", "true")
        await knob.click()
        await expect(knob).to_have_attribute("aria-pressed", "false")
        async with httpx.AsyncClient(base_url=stage.url) as http:
            path = "/streams/binance/ETHUSDT/books/ws/knobs"
            assert (await http.get(path)).json()["db_writes_enabled"] is False
        await page.get_by_test_id(f"remove-{name}").click()
        await stage.tell(BOOKS, "stopped")
        await expect(stream).to_have_count(0)


@pytest.mark.soak
async def test_an_operator_makes_an_interval_and_unmakes_it(stage, look):
    await stage.put_past("1m", 3)
    await stage.start()
    async with look(stage, allowed=["422"]) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await page.keyboard.press("s")
        await page.get_by_test_id("make-interval").fill("90s")
        await page.get_by_test_id("make-submit").click()
        await expect(page.get_by_test_id("streams-said")).to_contain_text("90s")
        await page.get_by_test_id("make-interval").fill("7m")
        await page.get_by_test_id("make-submit").click()
        await expect(page.get_by_test_id("unmake-7m")).to_be_visible()
        await expect(page.get_by_test_id("interval-7m")).to_be_visible()
        await page.get_by_test_id("unmake-7m").click()
        await expect(page.get_by_test_id("unmake-7m")).to_have_count(0)


async def test_a_stranger_signs_in_with_a_key_that_is_in_no_address(stage, look):
    stage.change(**KEYS)
    await stage.put_past("1m", 3)
    await stage.start()
    addresses: list[str] = []
    async with look(stage, is_signed_in=False, allowed=STRANGERS) as page:
        page.on("request", lambda request: addresses.append(request.url))
        page.on("websocket", lambda socket: addresses.append(socket.url))
        await expect(page.get_by_test_id("signin")).to_be_visible()
        await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "locked")
        await sign_in(page, "fib_0123456789ab_wrong")
        await expect(page.get_by_test_id("signin-reason")).to_contain_text("The key is not known")
        await sign_in(page, ADMIN)
        await expect(page.get_by_test_id("signin")).to_be_hidden()
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await expect(page.get_by_test_id("account")).to_have_text("admin")
        assert [each for each in addresses if ADMIN in each] == []
        assert ADMIN not in await page.evaluate("JSON.stringify(localStorage)")
        await page.reload()  # until the tab is closed
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await page.get_by_test_id("account").click()
        await page.get_by_test_id("signout").click()
        await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "locked")
        assert ADMIN not in await page.evaluate("JSON.stringify(sessionStorage)")


async def test_a_viewer_sees_no_controls_and_a_revoked_key_ends_the_session(stage, look):
    stage.change(**KEYS)
    await stage.put_past("1m", 3)
    await stage.tell(BOOKS, "live")
    await stage.start()
    key = await made(stage, "viewer")
    async with look(stage, is_signed_in=False, allowed=STRANGERS) as page:
        await page.get_by_test_id("keep-device").check()
        await sign_in(page, key["key"])
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        kept = json.loads(await page.evaluate("localStorage.getItem('credential')"))
        assert kept["untilMs"] > 0
        await page.keyboard.press("s")
        await expect(page.get_by_test_id(f"stream-{' '.join(BOOKS)}")).to_be_visible()
        await expect(page.get_by_test_id("add")).to_be_hidden()
        await expect(page.get_by_test_id(f"remove-{' '.join(BOOKS)}")).to_have_count(0)
        async with httpx.AsyncClient(base_url=stage.url, headers={"X-API-Key": ADMIN}) as http:
            assert (await http.delete(f"/api/v1/keys/{key['id']}")).status_code == 200
        await expect(page.get_by_test_id("signin")).to_be_visible(timeout=15_000)
        await expect(page.get_by_test_id("signin-reason")).to_contain_text("revoked")
        assert await page.evaluate("localStorage.getItem('credential')") is None


@pytest.mark.soak
async def test_a_token_signs_in_and_who_may_read_needs_none(stage, look):
    stage.change(**KEYS, gateway_anonymous_role="viewer")
    await stage.put_past("1m", 3)
    await stage.start()
    async with httpx.AsyncClient(base_url=stage.url, headers={"X-API-Key": ADMIN}) as http:
        token = (await http.post("/api/v1/tokens")).json()["access_token"]
    async with look(stage) as page:
        await expect(page.get_by_test_id("account")).to_have_text("viewer")
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await page.get_by_test_id("account").click()
        await sign_in(page, token)
        await expect(page.get_by_test_id("account")).to_have_text("admin")
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")


@pytest.mark.soak
async def test_the_page_waits_for_a_gateway_that_asks_for_keys_after_its_restart(stage, look):
    await stage.put_past("1m", 3)
    await stage.start()
    async with look(stage, allowed=STRANGERS) as page:
        await expect(page.get_by_test_id("price")).to_have_text("68,050.20")
        await stage.stop()
        stage.change(**KEYS)
        await stage.start()
        await expect(page.get_by_test_id("signin")).to_be_visible(timeout=30_000)
        await sign_in(page, ADMIN)
        await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live")
        await expect(page.get_by_test_id("account")).to_have_text(re.compile("admin"))
