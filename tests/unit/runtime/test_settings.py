import pytest

from runtime.errors import Misconfigured
from runtime.settings import load_settings


@pytest.fixture(autouse=True)
def _nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_lists_are_separated_by_commas(monkeypatch):
    monkeypatch.setenv("STREAMER_EXCHANGE_SYMBOLS", " BTCUSDT, ETHUSDT ,")
    assert load_settings().exchange_symbols == ("BTCUSDT", "ETHUSDT")


def test_an_empty_value_means_not_set(monkeypatch):
    monkeypatch.setenv("STREAMER_EXCHANGE_SYMBOLS_LIMIT", "")
    assert load_settings().exchange_symbols_limit is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STREAMER_KAFKA_PARTITIONS", "many"),
        ("STREAMER_WEBSOCKET_PORT", "70000"),
        ("STREAMER_EXCHANGE_SOCKET_POOL_SIZE", "201"),
        ("STREAMER_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_bad_value_is_named_with_what_was_given(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured, match=value) as refused:
        load_settings()
    assert refused.value.setting == name


def test_an_override_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("STREAMER_KAFKA_PARTITIONS", "3")
    assert load_settings(kafka_partitions=5).kafka_partitions == 5
