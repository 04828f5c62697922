import json
import os

from runtime.errors import Misconfigured
from runtime.ready import READY_FD, REFUSED, announce, refuse


def said(monkeypatch, say) -> list[str]:
    read_fd, write_fd = os.pipe()
    monkeypatch.setenv(READY_FD, str(write_fd))
    say()
    with os.fdopen(read_fd) as pipe:
        return pipe.readlines()


def test_facts_arrive_as_one_line_and_the_pipe_is_closed(monkeypatch):
    lines = said(monkeypatch, lambda: announce(port=9, host="h"))
    assert [json.loads(line) for line in lines] == [{"port": 9, "host": "h"}]
    assert READY_FD not in os.environ


def test_a_second_announcement_is_not_sent(monkeypatch):
    def twice():
        announce(n=1)
        announce(n=2)

    assert [json.loads(line) for line in said(monkeypatch, twice)] == [{"n": 1}]


def test_without_a_supervisor_nothing_happens(monkeypatch):
    monkeypatch.delenv(READY_FD, raising=False)
    announce(port=9)


def test_a_supervisor_that_is_gone_does_not_break_its_child(monkeypatch):
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    monkeypatch.setenv(READY_FD, str(write_fd))
    announce(port=9)


def test_a_refusal_carries_the_three_parts_of_the_error(monkeypatch):
    error = Misconfigured("STREAMER_X", "is wrong", remedy="Right it.")
    (line,) = said(monkeypatch, lambda: refuse(error))
    assert json.loads(line) == {REFUSED: ["STREAMER_X", "is wrong", "Right it."]}
