"""No secret reaches a log line: by name, by form, in tracebacks, in settings and their errors."""

import io
import logging

import pytest
import structlog

from runtime.errors import Misconfigured
from runtime.logs import configure_logging
from runtime.secrets import hide
from runtime.settings import Settings, load_settings

KEY = "fib_0123456789ab_" + "Zq-_" * 10 + "Zq1"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"GET /streams with {KEY}", KEY),
        (f"Bearer {JWT}", JWT),
        ("clickhouse at http://user:hunter2@host:8123/db", "hunter2"),
        ("redis://:hunter2@host/0", "hunter2"),
        ("ws://host/?stats=false&key=hunter2&user=a", "hunter2"),
        ("ws://host/?token=hunter2", "hunter2"),
        ("authorization: Basic aHVudGVyMjpodW50ZXIy", "aHVudGVyMjpodW50ZXIy"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text, secret):
    assert secret not in hide(text)
    assert "***" in hide(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:9500/?symbol=BTCUSDT",
        "md.trades.v1/3/100-200",
        "fib_ is how keys begin",
        '{"key":"binance:linear:BTCUSDT"}',
        "see https://example.org/a@b",
    ],
)
def test_what_is_no_secret_stays(text):
    assert hide(text) == text


@pytest.mark.parametrize("form", ["json", "console"])
def test_neither_fields_nor_messages_nor_tracebacks_tell_a_secret(form, monkeypatch):
    told = io.StringIO()
    monkeypatch.setattr("sys.stderr", told)
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        configure_logging(Settings(_env_file=None, log_format=form), process="test")
        logger = structlog.get_logger("of.secrets")
        fields = dict.fromkeys(("password", "token", "Authorization"), "hunter2")
        logger.warning("call_denied", path=f"/?key={KEY}", **fields)
        logging.getLogger("of.a.library").warning("connecting to %s", f"http://a:hunter2@h/{KEY}")
        try:
            int(JWT)
        except ValueError:
            logger.exception("it_broke")
    finally:
        logging.getLogger().handlers[:], logging.getLogger().level = before
        structlog.reset_defaults()
    text = told.getvalue()
    assert "call_denied" in text
    assert "it_broke" in text
    for secret in ("hunter2", KEY, JWT):
        assert secret not in text


def test_settings_neither_show_nor_quote_secrets_but_pass_them_to_children(monkeypatch):
    monkeypatch.setenv("STREAMER_WSS_AUTH_KEY", "hunter2hunter2")
    settings = Settings(_env_file=None)
    assert "hunter2" not in repr(settings)
    assert settings.environment()["STREAMER_WSS_AUTH_KEY"] == "hunter2hunter2"
    monkeypatch.setenv("STREAMER_WSS_AUTH_KEY", "hunter2")
    with pytest.raises(Misconfigured, match="STREAMER_WSS_AUTH_KEY") as told:
        load_settings()
    assert "hunter2" not in str(told.value)
