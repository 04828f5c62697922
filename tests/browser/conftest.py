"""One Chromium for all tests of the page; a gateway and topics of its own for each."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Protocol

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.support import browsing
from tests.support.browsing import ARGS, CHROMIUM, Stage, opened


class Opened(Protocol):
    """Open the page of a stage, at an address, in a window that is made so."""

    def __call__(
        self, stage: Stage, address: str = "", **context: Any
    ) -> AbstractAsyncContextManager[Page]: ...


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The browser; a page has a context of its own in it."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        await browser.close()


@pytest.fixture
def look(browser: Browser) -> Opened:
    """How to open the page."""
    return partial(opened, browser)


@pytest_asyncio.fixture(loop_scope="session")
async def stage(
    kafka_bootstrap: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    """A gateway that has not begun yet; the market's candles are those of one moment."""
    begun_ms = browsing.now_ms()
    monkeypatch.setattr(browsing, "now_ms", lambda: begun_ms)
    stage = Stage(kafka_bootstrap, topic_prefix)
    await stage.make_topics()
    await stage.producer.start()
    try:
        yield stage
    finally:
        await stage.stop()
        await stage.producer.stop()
