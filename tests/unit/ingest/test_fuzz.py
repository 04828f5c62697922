"""Whatever a venue's frames are turned into, they are read or refused, and nothing else happens."""

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence

import pytest
from venue_frames import assert_sound, captured, documented

from ingest.exchanges import EXCHANGES
from ingest.exchanges.base import Inbound
from runtime.errors import Poison

FRAMES = 4_000
SOAK_FRAMES = 1_000_000
CAPTURED_MAX = 2_000
SEED = 7
VENUES = pytest.mark.parametrize("name", EXCHANGES)

TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null')
ODD = [
    *(b"0", b"-0", b"-1", b"1.5", b"1e5", b"1e999", b"NaN", b"Infinity", b"0.1", b"007"),
    *(b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"9" * 400),
    *(b"1770000000", b"1770000000000000", b"true", b"false", b"null", b"[]", b"{}", b"[[]]"),
    *(b'""', b'"0"', b'"-0"', b'"-1"', b'"1e5"', b'"1E+3"', b'"NaN"', b'"Infinity"', b'"-Inf"'),
    *(b'" 1"', b'"1 "', b'"1_0"', b'"0.-0"', b'"5."', b'".5"', b'"."', b'"1.2.3"', b'"+1"'),
    *(b'"sNaN"', b'"' + b"9" * 30 + b'"', b'"0.' + b"0" * 25 + b'1"', b'"1,2"', b'"12\\n"'),
    *(b'"\\u0661"', '"\u0661\u0662"'.encode(), '"\u00b2"'.encode(), b'"\\ud800"', b'"\xff"'),
    *(b'"' + b"A" * 300 + b'"', b"[" * 600 + b"]" * 600, b'{"a":' * 600 + b"1" + b"}" * 600),
    *(b'{"e":"trade"}', b'[{"e":"trade"}]', b'[["1","2"]]', b'[["1","2"],["1"]]', b'["1","2"]'),
]


def without_a_key(message: object) -> Iterator[object]:
    """Yield the message again and again, each time without another key or element."""
    if isinstance(message, dict):
        for gone in message:
            yield {key: value for key, value in message.items() if key != gone}
            for less in without_a_key(message[gone]):
                yield message | {gone: less}
    elif isinstance(message, list):
        for i, part in enumerate(message[:4]):
            yield message[:i] + message[i + 1 :]
            for less in without_a_key(part):
                yield [*message[:i], less, *message[i + 1 :]]


def seeds(name: str) -> list[bytes]:
    """Return the frames to begin with: documented, each without a part, recorded."""
    ours = [frame for channel in EXCHANGES[name].markets for frame in documented(name, channel)]
    less = [json.dumps(m).encode() for frame in ours for m in without_a_key(json.loads(frame))]
    return [*ours * 20, *less, *captured(name, CAPTURED_MAX)]


def mutated(frame: bytes, rng: random.Random) -> bytes:
    """Return the frame with one thing changed."""
    how = rng.random()
    if how < 0.6 and (tokens := list(TOKEN.finditer(frame))):
        token = rng.choice(tokens)
        other = rng.choice(tokens).group() if how < 0.2 else rng.choice(ODD)
        return frame[: token.start()] + other + frame[token.end() :]
    start = rng.randrange(len(frame) + 1)
    end = min(len(frame), start + rng.randrange(1, 20))
    if how < 0.8:
        return frame[:start] + rng.randbytes(rng.randrange(1, 4)) + frame[end:]
    if how < 0.9:
        return frame[:end] + frame[start:end] * rng.randrange(1, 6) + frame[end:]
    return frame[:start] + (b"" if how < 0.95 else frame[end:])


def is_refused(parse: Callable[[bytes], Sequence[Inbound]], frame: bytes) -> bool:
    try:
        assert_sound(parse(frame))
    except Poison as e:
        return e.payload == frame and bool(e.reason)
    except BaseException as e:
        e.add_note(f"the frame was {frame!r:.2000}")
        raise
    return False


def assert_read_or_refused(name: str, count: int) -> None:
    rng = random.Random(f"{SEED} {name}")
    parsers = [market.parse for market in EXCHANGES[name].markets.values()]
    frames = seeds(name)
    refused = 0
    for _ in range(count):
        frame = mutated(rng.choice(frames), rng)
        while rng.random() < 0.3:
            frame = mutated(frame, rng)
        refused += is_refused(rng.choice(parsers), frame)
    assert 0.1 * count < refused < 0.9 * count  # else it was no test of one of the two


@VENUES
def test_mutated_frames_are_read_or_refused_and_nothing_else(name: str) -> None:
    assert_read_or_refused(name, FRAMES)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@VENUES
def test_a_million_mutated_frames_are_read_or_refused_and_nothing_else(name: str) -> None:
    assert_read_or_refused(name, SOAK_FRAMES)
