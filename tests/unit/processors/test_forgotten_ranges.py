"""Missing ranges of a symbol beyond their number: unproven for good, and still repaired."""

from folding import BASE_MS, MINUTE_MS, Fold, run, trades

from processors.engine import ids


def test_what_was_forgotten_is_never_proven_again_and_stays_found(monkeypatch) -> None:
    monkeypatch.setattr(ids, "MISSING_RANGES_MAX", 1)
    fold = Fold(MINUTE_MS)
    fold.take(trades(*run(1, 0)))
    fold.take(trades(*run(3, 1_000)))
    fold.take(trades(*run(5, 2_000)))
    assert [(g.state, g.first_id) for g in fold.gaps()] == [("found", 2), ("found", 4)]
    fold.take(trades(*run(4, 1_500)), source="rest")
    fold.take(trades(*run(6, MINUTE_MS + 100)))
    candle = fold.closed(MINUTE_MS)[0]
    assert (candle.quality, candle.missing) == ("gap", 1)


def test_a_recovered_trade_of_a_range_that_was_forgotten_is_asked_for(monkeypatch) -> None:
    monkeypatch.setattr(ids, "MISSING_RANGES_MAX", 2)
    fold = Fold()
    fold.take(trades((1, 0, 1, 1, 1), (3, 3_000, 1, 1, 1), (5, 6_000, 1, 1, 1)))
    fold.take(trades((7, 9_000, 1, 1, 1), (8, 60_000, 1, 1, 1)))
    fold.outputs()
    offset = fold.take(trades((2, 1_500, 1, 1, 1)), source="rest")
    (request,) = fold.recompute()
    assert (request.from_ms, request.to_ms) == (BASE_MS + 1_500, BASE_MS + 1_500)
    assert request.rev == offset


def test_a_repeat_asks_for_nothing_where_no_range_was_forgotten_and_live_ones_never_do(
    monkeypatch,
) -> None:
    monkeypatch.setattr(ids, "MISSING_RANGES_MAX", 2)
    fold = Fold()
    fold.take(trades((1, 0, 1, 1, 1), (3, 3_000, 1, 1, 1), (5, 6_000, 1, 1, 1)))
    fold.take(trades((7, 9_000, 1, 1, 1), (8, 60_000, 1, 1, 1)))
    fold.outputs()
    fold.take(trades((8, 60_000, 1, 1, 1)), source="rest")
    fold.take(trades((2, 1_500, 1, 1, 1)))
    assert fold.recompute() == []
