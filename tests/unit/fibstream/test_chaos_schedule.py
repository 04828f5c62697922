import pytest

from fibstream.chaos.schedule import BROKER, EVERYBODY, KILLS, ROUND_S, SICK, draw

WORKERS = ("a", "b", "c")
GUESTS = ("x", "y")
SESSION_S = 6.0


def schedule(seed: int, minutes: float):
    return draw(seed, minutes=minutes, workers=WORKERS, guests=GUESTS, session_s=SESSION_S)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("minutes", [0.5, 1, 3.5, 10])
def test_every_minute_has_its_kills_and_the_last_act_ends_in_time(seed, minutes):
    acts = schedule(seed, minutes)
    assert acts == schedule(seed, minutes)
    assert [act.at_s for act in acts] == sorted(act.at_s for act in acts)
    assert sum(act.kind in KILLS for act in acts) >= 3 * int(minutes)
    assert all(act.at_s + act.for_s <= minutes * ROUND_S for act in acts)


@pytest.mark.parametrize("seed", range(20))
def test_every_minute_of_any_seed_has_every_kind_of_harm(seed):
    acts = schedule(seed, 2)
    for kinds in ([act.kind for act in acts[:9]], [act.kind for act in acts[9:]]):
        assert {"kill", "freeze", "terminate", "leave", "join"} <= set(kinds)
        assert {"kill-broker", "stop-broker"} & set(kinds)
        assert len(set(SICK) & set(kinds)) == 2


@pytest.mark.parametrize("seed", range(20))
def test_who_is_frozen_is_frozen_for_longer_than_a_session(seed):
    acts = schedule(seed, 10)
    assert all(act.for_s > SESSION_S for act in acts if act.kind == "freeze")
    for act in acts:
        whom = GUESTS if act.kind == "join" else (*WORKERS, EVERYBODY, BROKER)
        assert act.target in whom
        assert (act.target == BROKER) == (act.kind in ("kill-broker", "stop-broker"))
        assert (act.delay_s > 0) == (act.kind == "delay")


def test_another_seed_is_another_schedule():
    assert len({tuple(schedule(seed, 1)) for seed in range(50)}) == 50
