"""Frames to files and back, whatever is in them."""

import gzip
import random
from pathlib import Path

import pytest

from fibstream.replay.tape import Tape
from ingest.recording import _unwrapped
from ingest.reel import NS_PER_HOUR, Reel, Rotation, check_folder
from runtime.errors import Misconfigured

NOW_NS = 1_700_000_000_123_000_000
SECOND_NS = 1_000_000_000


def reel(folder: Path, **rotation: int) -> Reel:
    return Reel(folder, "binance_spot", Rotation(**rotation))


def read(it: Reel) -> tuple[list[bytes], list[int | None]]:
    tape = Tape([str(path) for path in it.paths])
    told = [(_unwrapped(frame).frame, tape.recv_ns) for frame in tape]
    assert tape.damaged == []
    return [frame for frame, _ in told], [ns for _, ns in told]


@pytest.mark.parametrize(
    "frame",
    [
        b'{"a":1}',
        b'{\n  "a": 1\n}\n',
        b'{"raw":"x"}',
        b'{"path":"/x","data":{}}',
        '{"a":"é\\n"}'.encode(),
        b"pong",
        b"two\r\nlines",
    ],
)
def test_a_frame_comes_back_as_it_was_received(frame: bytes, tmp_path: Path) -> None:
    it = reel(tmp_path)
    it.frame(b"{}", NOW_NS)
    it.frame(frame, NOW_NS + 7)
    it.close()
    assert read(it) == ([b"{}", frame], [NOW_NS, NOW_NS + 7])


def test_bytes_that_are_no_text_keep_to_their_line(tmp_path: Path) -> None:
    it = reel(tmp_path)
    it.frame(b"\xff\n\xfe", NOW_NS)
    it.frame(b"{}", NOW_NS + 1)
    it.close()
    frames, stamps = read(it)
    assert frames[1] == b"{}"
    assert stamps == [NOW_NS, NOW_NS + 1]


def test_what_was_flushed_is_readable_while_the_file_is_open(tmp_path: Path) -> None:
    it = reel(tmp_path)
    for n in range(3):
        it.frame(b'{"n":%d}' % n, NOW_NS + n)
        it.flush(NOW_NS)
    it.frame(b"lost with the process", NOW_NS)
    assert read(it)[0] == [b'{"n":0}', b'{"n":1}', b'{"n":2}']


def test_a_body_of_rest_stands_among_the_frames_with_what_was_asked(tmp_path: Path) -> None:
    it = reel(tmp_path)
    it.body("/api/v3/depth?symbol=A", b'{\n"bids":[]}', NOW_NS)
    it.close()
    (line,) = gzip.decompress(it.paths[0].read_bytes()).splitlines()
    told = _unwrapped(line)
    assert (told.frame, told.url) == (b'{\n"bids":[]}', "/api/v3/depth?symbol=A")
    assert (it.frames, it.bodies) == (0, 1)


def test_a_new_file_begins_with_the_hour_and_none_without_frames(tmp_path: Path) -> None:
    it = reel(tmp_path, hours=1)
    start_ns = NOW_NS - NOW_NS % NS_PER_HOUR
    for at_ns in (start_ns, start_ns + NS_PER_HOUR - SECOND_NS, start_ns + NS_PER_HOUR):
        it.frame(b"{}", at_ns)
        it.flush(at_ns)
    it.frame(b"{}", start_ns + NS_PER_HOUR + SECOND_NS)
    it.flush(start_ns + 5 * NS_PER_HOUR)  # an idle night
    it.flush(start_ns + 7 * NS_PER_HOUR)
    it.close()
    assert [path.name for path in it.paths] == [
        "binance_spot_20231114T220000000Z.jsonl.gz",
        "binance_spot_20231114T230001000Z.jsonl.gz",
    ]
    assert len(read(it)[0]) == 4


def test_a_new_file_begins_at_the_size(tmp_path: Path) -> None:
    it = reel(tmp_path, mib_max=1, hours=0)
    rng = random.Random(1)
    frames = [rng.randbytes(300).hex().encode() for _ in range(8_000)]
    for n, frame in enumerate(frames):
        it.frame(frame, NOW_NS + n * 10**6)
        if n % 500 == 0:
            it.flush(NOW_NS + n * 10**6)
    it.close()
    assert len(it.paths) == 3
    assert read(it)[0] == frames


def test_nothing_that_is_there_is_written_over(tmp_path: Path) -> None:
    first, second = reel(tmp_path), reel(tmp_path)
    first.frame(b"1", NOW_NS)
    first.close()
    second.frame(b"2", NOW_NS)
    with pytest.raises(Misconfigured, match="File exists"):
        second.close()
    assert read(first)[0] == [b"1"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="file/folder cannot be written"):
        check_folder(tmp_path / "file" / "folder")


def test_what_was_sent_is_noted_with_its_time_a_line_each(tmp_path: Path) -> None:
    it = reel(tmp_path)
    it.frame(b"{}", NOW_NS)
    it.sent("ws://x", b'{"op":\n"subscribe"}')
    it.close()
    (path,) = tmp_path.glob("*_sent.txt.gz")
    (line,) = gzip.decompress(path.read_bytes()).splitlines()
    assert line.startswith(b"ws://x <- ")
    assert line.endswith(b'{"op": "subscribe"}')
