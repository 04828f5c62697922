"""The faults, and what must follow each: an event that names it, or that nothing is wrong after."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fibstream.faults.scene import Scene

WRONG_BOOK_S_MAX = 5.0  # how long a wrong book may stand unnamed
SILENCE_S = 25.0
LIMITED_S = 4.0


class Failed(Exception):  # noqa: N818 - the name says what it is
    """What must not be was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault; ``play`` inflicts it, returns what became of it, or raises Failed."""

    name: str
    play: Callable[[Scene], Awaitable[str]]


async def silence(scene: Scene) -> str:
    """An acknowledged stream of trades says nothing while its symbol trades."""
    await scene.inflict("silence", stream="trades", seconds=SILENCE_S)
    await scene.until("silent", lambda: scene.told("trades", "found", "silent"))
    await scene.until("recovered", lambda: scene.told("trades", "recovered", "silent"))
    await scene.until("trades", lambda: scene.trades_again(SILENCE_S))
    return "named silent, subscribed again"


async def book_hole(scene: Scene) -> str:
    """One update of the book is lost."""
    await scene.inflict("hole", stream="books")
    await asyncio.sleep(1.0)
    return await _mended(scene, "hole", "checksum")


async def trade_hole(scene: Scene) -> str:
    """One trade is never sent."""
    await scene.inflict("hole", stream="trades")
    if scene.ids == "unique":
        await scene.until("trades", lambda: scene.trades_again(3.0))
        return "no ids to tell it: candles are assumed"
    await scene.until("missing ids", scene.told_ids)
    gap = scene.told_ids()
    return f"named {gap.missing} id(s) missing" if gap else ""


async def duplicate(scene: Scene) -> str:
    """Trades are sent twice."""
    await scene.inflict("duplicate", count=20)
    await scene.until("trades", lambda: scene.trades_again(2.0))
    return _once(scene)


async def late(scene: Scene) -> str:
    """Trades are held back for two seconds."""
    from_ns = time.time_ns()
    await scene.inflict("late", count=3, seconds=2.0)
    await asyncio.sleep(5.0)
    await _arrived(scene, from_ns)
    return _once(scene)


async def reset(scene: Scene) -> str:
    """The venue counts the updates of a book anew."""
    await scene.inflict("reset")
    await asyncio.sleep(0.5)
    return await _mended(scene)


async def crossed(scene: Scene) -> str:
    """The best bid stands above the best ask."""
    await scene.inflict("crossed", seconds=4.0)
    await scene.until("crossed", lambda: scene.told("books", "found", "crossed", "checksum"))
    return await _mended(scene, "crossed", "checksum")


async def text_number(scene: Scene) -> str:
    """A price is no number."""
    await scene.inflict("text_number")
    await scene.until("a dead letter", scene.set_aside)
    await scene.until("trades", lambda: scene.trades_again(1.0))
    return "set aside"


async def disconnect(scene: Scene) -> str:
    """Every socket of the market is cut."""
    await scene.inflict("disconnect")
    await scene.until("disconnected", lambda: scene.told("trades", "found", "disconnected"))
    await scene.until("recovered", lambda: scene.told("trades", "recovered", "disconnected"))
    await scene.until("trades", lambda: scene.trades_again(1.0))
    took_s = await scene.until_book_is_right()
    return f"named disconnected, book right after {took_s:.1f} s"


async def garbage(scene: Scene) -> str:
    """A frame that is no JSON."""
    await scene.inflict("garbage")
    await scene.until("a dead letter", scene.set_aside)
    await scene.until("trades", lambda: scene.trades_again(1.0))
    if scene.told("trades", "found", "disconnected"):
        raise Failed("the connection was given up for it")
    return "set aside"


async def big_frame(scene: Scene) -> str:
    """A frame of 5 MB."""
    from_ns = time.time_ns()
    await scene.inflict("big_frame")
    await scene.until("trades", lambda: scene.trades_again(2.0))
    await _arrived(scene, from_ns)
    if scene.told("trades", "found", "disconnected"):
        raise Failed("the connection was given up for it")
    return _once(scene)


async def rate_limit(scene: Scene) -> str:
    """REST answers 429, and 418 to who asks on, while a book needs a snapshot."""
    await scene.inflict("rate_limit", seconds=LIMITED_S)
    await scene.inflict("hole", stream="books")
    await asyncio.sleep(LIMITED_S)
    return await _mended(scene, "hole", "checksum", within_s=LIMITED_S + 40)


async def _mended(scene: Scene, *reasons: str, within_s: float = 30.0) -> str:
    """Wait until the book is right; until it is, it must be named after a few seconds."""
    while not await scene.book_is_right():
        if scene.told("books", "found", *reasons):
            break
        if scene.age_s > WRONG_BOOK_S_MAX:
            raise Failed(
                f"a wrong book stood unnamed for {scene.age_s:.1f} s: {scene.book_difference()}"
            )
        await asyncio.sleep(0.1)
    took_s = await scene.until_book_is_right(within_s)
    gap = scene.told("books", "found", *reasons)
    if gap is None:
        return "healed by the next frame"
    await scene.until("recovered", lambda: scene.told("books", "recovered", *reasons))
    return f"named {gap.reason}, right after {took_s:.1f} s"


async def _arrived(scene: Scene, from_ns: int) -> None:
    to_ns = time.time_ns()
    scene.waiting_for = "every trade that was sent"
    while not await scene.has_all_sent(from_ns, to_ns):  # noqa: ASYNC110 - a topic is asked
        await asyncio.sleep(0.2)


def _once(scene: Scene) -> str:
    doubled = scene.doubled()
    if doubled:
        raise Failed(f"{len(doubled)} trades are there twice, {doubled[0]} first")
    return "healed: every trade once"


SYMBOL_CASES = (
    Case(name="silence after the acknowledgement", play=silence),
    Case(name="hole in the trades", play=trade_hole),
    Case(name="hole in the book", play=book_hole),
    Case(name="duplicates", play=duplicate),
    Case(name="late by 2 s", play=late),
    Case(name="reset of the book", play=reset),
    Case(name="crossed book", play=crossed),
    Case(name="text for a number", play=text_number),
)
GLOBAL_CASES = (
    Case(name="garbage", play=garbage),
    Case(name="frame of 5 MB", play=big_frame),
    Case(name="disconnect", play=disconnect),
    Case(name="429 and 418", play=rate_limit),
)
