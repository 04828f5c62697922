"""Every peer gets the same trades, and nobody is fast by losing some."""

import json
import re
import sys
from collections import defaultdict

import pytest

from fibstream.bench import peer_parts
from fibstream.bench.load import records
from fibstream.bench.peer_trades import Candles, differences, fold, plain, read, unpacked
from fibstream.bench.peers import OURS, PEERS, Load, Peer, _commands, order, summary
from fibstream.bench.peers_run import PeerFailed, run_peer
from runtime.errors import Misconfigured
from schemas.trades import TradeBatch, decode_batch

MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def made():
    return list(records("live", 20_000, 4))


@pytest.fixture
def candles(made) -> Candles:
    found: Candles = {}
    for record in made:
        for group in record.batch.symbols:
            fold(found, group)
    return found


def test_the_expected_candles_are_those_of_a_fold_trade_by_trade(made, candles):
    rows = defaultdict(list)
    for record in made:
        for group in record.batch.symbols:
            for at_ms, price, qty in zip(group.ts, group.price, group.qty, strict=True):
                rows[group.symbol, at_ms // MINUTE_MS * MINUTE_MS].append((price, qty))
    for key, trades in rows.items():
        prices, volume = [p for p, _ in trades], sum(q for _, q in trades)
        expected = (prices[0], max(prices), min(prices), prices[-1], volume, len(trades))
        assert candles[key] == expected
    assert candles.keys() == rows.keys()


def test_a_plain_record_holds_the_trades_of_its_group(made):
    group = made[0].batch.symbols[0]
    rows = json.loads(plain(group))["data"]
    assert [round(row["price"] * 100) for row in rows] == group.price
    assert [round(row["quantity"] * 1_000) for row in rows] == group.qty
    assert [(row["trade_id"], row["timestamp"]) for row in rows] == list(
        zip(group.id, group.ts, strict=True)
    )
    assert {row["symbol"] for row in rows} == {group.symbol}


@pytest.mark.parametrize("is_plain", [True, False])
def test_what_a_peer_writes_in_decimals_is_what_is_expected(tmp_path, candles, is_plain):
    price, qty = (100, 1_000) if is_plain else (1, 1)
    lines = [
        f"{symbol}\t{at}\t{o / price}\t{h / price}\t{lo / price}\t{c / price}\t{v / qty}\t{n}"
        for (symbol, at), (o, h, lo, c, v, n) in candles.items()
    ]
    out = tmp_path / "candles.tsv"
    out.write_text("\n".join(lines))
    assert read(out, is_plain=is_plain) == candles
    assert differences(candles, candles) == []


EXPECTED: Candles = {
    ("A", 0): (1, 3, 1, 2, 10, 4),
    ("A", MINUTE_MS): (2, 2, 2, 2, 5, 1),
    ("B", 0): (7, 7, 7, 7, 1, 1),
}


@pytest.mark.parametrize("only_closed", [True, False])
def test_a_lost_trade_is_seen(only_closed):
    lossy = EXPECTED | {("A", 0): (1, 3, 1, 2, 9, 3)}
    assert len(differences(lossy, EXPECTED, only_closed=only_closed)) == 1


@pytest.mark.parametrize("only_closed", [True, False])
def test_a_candle_out_of_nowhere_is_seen(only_closed):
    more = EXPECTED | {("C", 0): (1, 1, 1, 1, 1, 1)}
    assert len(differences(more, EXPECTED, only_closed=only_closed)) == 1


def test_a_missing_candle_is_forgiven_only_where_nothing_ends_it():
    without = {key: EXPECTED[key] for key in [("A", 0)]}
    assert len(differences(without, EXPECTED)) == 2
    assert differences(without, EXPECTED, only_closed=True) == []
    assert len(differences({}, EXPECTED, only_closed=True)) == 1


def test_a_last_candle_that_is_told_must_be_right():
    wrong = EXPECTED | {("B", 0): (7, 7, 7, 7, 2, 2)}
    assert len(differences(wrong, EXPECTED, only_closed=True)) == 1


def test_a_name_that_nobody_has_is_refused():
    with pytest.raises(Misconfigured, match="flink"):
        Load(only=("flink",)).peers()
    assert {peer.name for peer in Load(only=("quix",)).peers()} == {"quix"}
    assert Load().peers() == list(PEERS)


def test_every_peer_is_there():
    for peer in PEERS:
        script = peer.script if peer.script.endswith(".py") else f"{peer.script}.java"
        assert (peer_parts.SCRIPTS / script).is_file()


def test_every_engine_runs_in_both_forms():
    forms = defaultdict(set)
    for peer in PEERS:
        forms[peer.name].add(peer.form)
    assert all(found >= {"plain", "envelope"} for found in forms.values())


def test_the_packages_of_the_peers_are_pinned():
    lines = (peer_parts.SCRIPTS / "requirements.txt").read_text().splitlines()
    wanted = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", line) for line in wanted)


def test_without_the_programs_the_command_says_where_it_looked(monkeypatch, tmp_path):
    monkeypatch.setattr(peer_parts, "SCRIPTS", tmp_path)
    with pytest.raises(Misconfigured, match=re.escape(str(tmp_path))):
        peer_parts.check_scripts()


def test_what_cannot_be_fetched_is_said_and_leaves_nothing_half_made(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(peer_parts, "SCRIPTS", tmp_path)
    monkeypatch.setattr(peer_parts.sys, "executable", "/bin/false")
    (tmp_path / "requirements.txt").write_text("quixstreams==3.28.1\n")
    with pytest.raises(Misconfigured, match="cannot be had"):
        peer_parts.python()
    assert not list((tmp_path / "cache").rglob("python"))


def test_an_envelope_is_told_in_lists_however_large_it_is(made):
    batch = made[0].batch
    whole = TradeBatch(batch.exchange, batch.channel, batch.source, batch.recv_ns, batch.symbols)
    large = next(records("bulk", 1, 4)).batch
    for each in (whole, large):
        value = json.loads(unpacked(each))
        assert value["v"] == 1
        assert value["symbols"][0]["price"] == each.symbols[0].price
        assert decode_batch(unpacked(each)).symbols == each.symbols


# -- rounds


def run(cpu: float, *, differences: tuple[str, ...] = ()) -> dict:
    figures = {"cpu_s_per_million": cpu, "trades_per_s": 1_000, "peak_rss_mb": 100, "trades": 9}
    return figures | {"differences": list(differences)}


def test_every_second_round_goes_backwards():
    assert order(["A", "B", "C"], 3) == [*"ABC", *"CBA", *"ABC"]


def test_ratios_are_a_peers_middle_cpu_by_ours():
    runs = {
        "fibstream 1": [run(0.5), run(0.4), run(0.6)],
        "fibstream 8": [run(1.0)],
        "other": [run(2.0), run(4.0)],
    }
    told = summary(runs, {})
    other = told["peers"]["other"]
    assert told["ok"]
    assert (other["cpu_by_fibstream_1"], other["cpu_by_fibstream_8"]) == (6.0, 3.0)
    assert other["cpu_of_each_round"] == [2.0, 4.0]


def test_who_failed_is_named_and_spoils_no_other():
    told = summary({"fibstream 1": [run(0.5)], "fibstream 8": [], "other": [run(2.0)]}, {"x": "no"})
    assert told["failed"] == {"x": "no"}
    assert told["peers"].keys() == {"fibstream 1", "other"}
    assert told["peers"]["other"]["cpu_by_fibstream_1"] == 4.0
    assert "cpu_by_fibstream_8" not in told["peers"]["other"]
    assert not told["ok"]


def test_who_failed_once_has_no_figures():
    told = summary({"fibstream 1": [run(0.5)], "other": [run(2.0)]}, {"other": "no"})
    assert told["peers"].keys() == {"fibstream 1"}


def test_nobody_is_ok_who_loses():
    assert not summary({"fibstream 1": [run(0.5), run(0.5, differences=("A",))]}, {})["ok"]


def test_a_peer_whose_parts_cannot_be_had_is_named_and_the_others_run(monkeypatch):
    def nothing(*_: str) -> list[str]:
        raise Misconfigured("--only", "no network", remedy="-")

    monkeypatch.setattr(peer_parts, "java", nothing)
    monkeypatch.setattr(peer_parts, "python", lambda: "python")
    found, failed = _commands(PEERS)
    assert {peer.name for peer in found} == {"confluent", "aiokafka", "quix"}
    assert {title.partition(",")[0] for title in failed} == {"streams-eos", "streams-alo"}
    assert all("no network" in reason for reason in failed.values())


def test_our_own_names_are_no_peers():
    assert not OURS.keys() & {peer.title for peer in PEERS}
    assert Peer(name="a", script="a.py", form="plain").title == "a, plain"


async def told_by(program: str, *, within_s: float = 20.0) -> dict:
    return await run_peer([sys.executable, "-c", program], within_s=within_s)


async def test_a_program_reports_with_its_last_line():
    assert await told_by("print('hello'); print('{\"trades\": 3}')") == {"trades": 3}


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; sys.exit('no memory left')", "no memory left"),
        ("pass", "ended with code 0"),
        ("print('done')", "no report: done"),
    ],
)
async def test_a_program_that_fails_is_told_with_its_reason(program, reason):
    with pytest.raises(PeerFailed, match=reason):
        await told_by(program)


async def test_a_program_that_takes_too_long_is_ended():
    with pytest.raises(PeerFailed, match="not done within"):
        await told_by("import time; time.sleep(60)", within_s=0.3)
