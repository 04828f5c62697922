"""What many intervals cost is told against one of a minute, and against one of a second."""

from fibstream.bench.intervals import RATIOS, SETS, told
from schemas.intervals import MINUTE_MS, parse_intervals


def runs(**cpu: float) -> dict:
    names = dict(zip(("minute", "second", "8", "20", "20 minutes"), cpu.values(), strict=True))
    return {name: [{"cpu_s_per_million": each}] for name, each in names.items()}


def test_each_set_is_as_large_as_its_name():
    sizes = {name: len(parse_intervals(texts)) for name, texts in SETS.items()}
    assert sizes == {"minute": 1, "second": 1, "8": 8, "20": 20, "20 minutes": 20}


def test_the_set_of_minutes_has_no_seconds():
    lengths = [interval.length_ms for interval in parse_intervals(SETS["20 minutes"])]
    assert all(length_ms % MINUTE_MS == 0 for length_ms in lengths)


def test_ratios_are_told_against_both():
    report = told(runs(minute=0.2, second=0.5, eight=0.5, twenty=0.55, minutes=0.24))
    assert report["cpu_ratios"] == {
        "20_by_minute": 2.75,
        "20_by_second": 1.1,
        "20_minutes_by_minute": 1.2,
    }
    assert report["cpu_ratios"].keys() == RATIOS.keys()


def test_of_several_rounds_the_middle_counts():
    some = runs(minute=0.2, second=0.5, eight=0.5, twenty=0.55, minutes=0.24)
    some["20"] = [{"cpu_s_per_million": cpu} for cpu in (0.5, 9.0, 0.6)]
    assert told(some)["20"] == {"cpu_s_per_million": 0.6}
