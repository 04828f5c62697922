"""The self-test: every safeguard has its play, and only the controls may pass."""

import pytest

from fibstream.chaos import ChaosOptions, lacking
from fibstream.chaos.directed import PLAYS, freeze_mark_of, mark_of, summary
from fibstream.chaos.sabotage import SABOTAGES, Death
from runtime.errors import Misconfigured


def reports(**ok: bool) -> dict:
    counts = dict.fromkeys(("candles", "wrong", "lost", "duplicated"), 0)
    names = {name: ok.get(name.replace("-", "_"), play.passes) for name, play in PLAYS.items()}
    return {name: {"ok": is_ok, **counts, "differences": []} for name, is_ok in names.items()}


def test_each_play_has_its_sabotage():
    assert PLAYS.keys() == SABOTAGES.keys()
    assert {name for name, play in PLAYS.items() if play.passes} == {"control", "control-fence"}


def test_the_self_test_holds_only_when_each_is_judged_as_it_must():
    assert summary(reports())["ok"]
    assert not summary(reports(fence=True))["ok"], "a zombie went unseen"
    assert not summary(reports(control_fence=False))["ok"]
    assert not summary(reports(control=False))["ok"]


def test_the_fence_is_played_among_quiet_symbols_and_with_a_successor():
    options = lacking(ChaosOptions(), "fence")
    assert (options.trades_per_s, options.symbols, options.workers) == (20.0, 40, 1)
    assert list(options.guests) == ["guest-1"]
    assert options.schedule() == []
    assert list(lacking(ChaosOptions(), "order").guests) == []


def test_an_unknown_safeguard_is_refused():
    with pytest.raises(Misconfigured, match="fences"):
        lacking(ChaosOptions(), "fences")


@pytest.mark.parametrize("mark_of_what", [mark_of, lambda folder: freeze_mark_of(mark_of(folder))])
async def test_a_worker_dies_or_freezes_once(tmp_path, monkeypatch, mark_of_what):
    monkeypatch.setattr("fibstream.chaos.sabotage.RIPE_AFTER_S", 0.0)
    death = Death(mark_of(tmp_path))
    assert death.is_due()
    mark_of_what(tmp_path).touch()
    assert not death.is_due()
