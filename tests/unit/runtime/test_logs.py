import json
import logging
import threading

import pytest
import structlog

from runtime.logs import configure_logging
from runtime.settings import Settings


@pytest.fixture(autouse=True)
def _restored():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def settings(**given) -> Settings:
    return Settings(_env_file=None, **given)


def test_our_records_and_those_of_libraries_share_one_json_format_on_stderr(capsys):
    configure_logging(settings(log_format="json"), process="worker")
    structlog.get_logger("ours").info("state_changed", partition=3)
    logging.getLogger("theirs").warning("lost %d", 7)
    out, err = capsys.readouterr()
    ours, theirs = map(json.loads, err.splitlines())
    assert out == ""
    assert (ours["event"], ours["partition"], ours["level"]) == ("state_changed", 3, "info")
    assert (theirs["event"], theirs["logger"]) == ("lost 7", "theirs")
    assert ours["process"] == theirs["process"] == "worker"
    assert ours["timestamp"].endswith("Z")


def test_the_process_is_named_in_records_of_threads_too(capsys):
    configure_logging(settings(log_format="json"), process="sink")
    thread = threading.Thread(target=lambda: logging.getLogger("t").warning("x"))
    thread.start()
    thread.join()
    assert json.loads(capsys.readouterr().err)["process"] == "sink"


def test_noisy_libraries_are_silenced_at_their_loggers(capsys):
    configure_logging(settings(log_format="json"), process="worker")
    for name in ("faust.tables", "mode", "aiokafka.consumer"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        assert logging.getLogger(name).isEnabledFor(logging.WARNING)
    configure_logging(settings(log_format="json", log_level="ERROR"), process="worker")
    assert not logging.getLogger("faust").isEnabledFor(logging.WARNING)


def test_debug_records_appear_only_when_asked_for(capsys):
    for level, lines in (("INFO", 0), ("debug", 1)):
        configure_logging(settings(log_format="json", log_level=level), process="p")
        structlog.get_logger("ours").debug("frame_seen")
        assert len(capsys.readouterr().err.splitlines()) == lines


def test_an_exception_is_one_json_line(capsys):
    configure_logging(settings(log_format="json"), process="p")
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.getLogger("t").exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ZeroDivisionError" in json.loads(line)["exception"]


def test_a_terminal_gets_text_and_a_pipe_gets_json(capsys, monkeypatch):
    configure_logging(settings(), process="p")
    logging.getLogger("t").warning("piped")
    assert json.loads(capsys.readouterr().err)["event"] == "piped"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    configure_logging(settings(), process="p")
    logging.getLogger("t").warning("shown")
    assert "shown" in capsys.readouterr().err.split("{")[0]


def test_a_log_file_gets_json_whatever_the_terminal_gets(tmp_path, capsys):
    file = tmp_path / "logs" / "a.log"
    configure_logging(settings(log_format="console", log_file=file), process="p")
    structlog.get_logger("ours").info("state_changed")
    assert json.loads(file.read_text())["event"] == "state_changed"
