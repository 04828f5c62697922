"""The summary of ``fibstream reconcile``: candles by their last verdict."""

import json
from decimal import Decimal

import pytest
from rich.console import Console

from fibstream import reconcile
from fibstream.reconcile import Summary, Wanted, table
from schemas.reconciliation import Difference, Reconciliation, ReconciliationEnvelope

MINUTE_MS = 60_000


def row(minute: int, verdict: str, explanation: str, rev: int = 1, **more) -> Reconciliation:
    return Reconciliation(
        symbol=more.pop("symbol", "S"),
        interval=MINUTE_MS,
        timestamp=minute * MINUTE_MS,
        verdict=verdict,
        explanation=explanation,
        rev=rev,
        **more,
    )


def summary(*rows: Reconciliation, exchange: str = "okx", **wanted) -> dict:
    made = Summary(Wanted(**wanted))
    for each in rows:
        made.take(ReconciliationEnvelope(exchange, "spot", [each]))
    return made.report()


def counts(report) -> dict:
    return {(v["verdict"], v["explanation"]): v["candles"] for v in report["verdicts"]}


def test_of_a_candle_only_the_last_verdict_counts():
    report = summary(
        row(0, "differs", "unexplained", rev=1),
        row(0, "equal", "late", rev=2),
        row(0, "differs", "unexplained", rev=1),  # told again after a crash
        row(1, "equal", ""),
    )
    assert counts(report) == {("equal", "late"): 1, ("equal", ""): 1}
    assert (report["ok"], report["candles"], report["differences"]) == (True, 2, [])


def test_the_unexplained_come_first_and_are_not_ok():
    difference = Difference("volume", Decimal("1.10"), Decimal("1.2"))
    report = summary(
        row(0, "venue-missing", "empty"),
        row(1, "differs", "open-rule"),
        row(2, "differs", "unexplained", differences=[difference], ours_rev=7, venue_rev=9),
    )
    assert report["ok"] is False
    first = report["differences"][0]
    assert first["candle"] == "okx spot S 1m 120000"
    assert first["differences"] == [{"field": "volume", "ours": "1.10", "venue": "1.2"}]
    assert [each["explanation"] for each in report["differences"]] == [
        *("unexplained", "open-rule", "empty"),
    ]
    assert json.loads(json.dumps(report)) == report
    console = Console(record=True, width=200)
    console.print(table(report))
    assert "volume 1.10 | 1.2" in console.export_text()


def test_only_what_is_wanted_is_counted():
    rows = (row(0, "equal", ""), row(0, "equal", "", symbol="T"))
    assert summary(*rows, symbol="T")["candles"] == 1
    assert summary(*rows)["candles"] == 2


def test_what_is_forgotten_stays_counted(monkeypatch):
    monkeypatch.setattr(reconcile, "CANDLES_MAX", 2)
    report = summary(*(row(minute, "equal", "") for minute in range(5)))
    assert counts(report) == {("equal", ""): 5}


def test_another_exchange_is_left_out():
    made = Summary(Wanted(exchange="bybit"))
    made.take(ReconciliationEnvelope("okx", "spot", [row(0, "equal", "")]))
    assert made.report()["candles"] == 0


def test_the_command_exists_and_names_the_setting_it_lacks(monkeypatch):
    from fibstream.cli import app
    from runtime.errors import Misconfigured

    monkeypatch.setenv("STREAMER_KAFKA_BOOTSTRAP", "")
    with pytest.raises(Misconfigured, match="STREAMER_KAFKA_BOOTSTRAP"):
        app(["reconcile"], standalone_mode=False)
