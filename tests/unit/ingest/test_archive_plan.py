from datetime import UTC, datetime

import pytest

from ingest.exchanges import EXCHANGES
from ingest.recovery.archives.layouts import plan
from ingest.recovery.archives.venues import LAYOUTS, NOT_AUTOMATIC

BINANCE, BYBIT, OKX = (
    LAYOUTS["binance", "linear"],
    LAYOUTS["bybit", "linear"],
    LAYOUTS["okx", "spot"],
)


def ms(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


NOW = ms("2024-06-10")


def names(layout, from_, to, now=NOW):
    return [piece.name for piece in plan(layout, "BTCUSDT", ms(from_), ms(to), now)]


def test_a_range_inside_a_day_is_that_day():
    assert names(BINANCE, "2024-02-01T10:00", "2024-02-01T11:00") == ["2024-02-01"]


def test_a_range_across_midnight_is_both_days():
    assert names(BINANCE, "2024-02-01T23:59:59", "2024-02-02") == ["2024-02-01", "2024-02-02"]


def test_whole_months_are_one_file_each():
    found = names(BINANCE, "2024-01-30", "2024-04-01T12:00")
    assert found == ["2024-01-30", "2024-01-31", "2024-02", "2024-03", "2024-04-01"]


def test_a_month_that_is_not_over_is_read_by_days():
    assert names(BINANCE, "2024-06-01", "2024-06-30T23:59", ms("2024-06-20"))[:2] == [
        "2024-06-01",
        "2024-06-02",
    ]


def test_a_venue_without_monthly_files_is_read_by_days():
    assert len(names(BYBIT, "2024-02-01", "2024-02-29T23:59")) == 29


def test_instead_of_a_day_its_month_is_read_and_the_other_way_round():
    (day,) = plan(BINANCE, "BTCUSDT", ms("2024-02-01"), ms("2024-02-01T01:00"), NOW)
    assert [piece.name for piece in day.instead] == ["2024-02"]
    (month,) = plan(BINANCE, "BTCUSDT", ms("2024-02-01"), ms("2024-02-29T23:59:59"), NOW)
    assert [piece.name for piece in month.instead] == [f"2024-02-{n:02}" for n in range(1, 30)]


def test_days_of_an_unknown_zone_are_asked_for_in_both_readings():
    late = list(plan(OKX, "BTC-USDT", ms("2024-02-01T20:00"), ms("2024-02-01T21:00"), NOW))
    assert [(piece.name, piece.is_optional) for piece in late] == [
        ("2024-02-01", True),
        ("2024-02-02", True),
    ]
    early = list(plan(OKX, "BTC-USDT", ms("2024-02-01T10:00"), ms("2024-02-01T11:00"), NOW))
    assert [(piece.name, piece.is_optional) for piece in early] == [("2024-02-01", False)]


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (("binance", "spot"), "/data/spot/daily/trades/X/X-trades-2024-02-01.zip"),
        (("binance", "linear"), "/data/futures/um/daily/aggTrades/X/X-aggTrades-2024-02-01.zip"),
        (("bybit", "spot"), "/spot/X/X_2024-02-01.csv.gz"),
        (("bybit", "linear"), "/trading/X/X2024-02-01.csv.gz"),
        (("okx", "spot"), "/cdn/okex/traderecords/trades/daily/20240201/X-trades-2024-02-01.zip"),
    ],
)
def test_paths_are_the_venues_own(key, path):
    pieces = list(plan(LAYOUTS[key], "X", ms("2024-02-01T10:00"), ms("2024-02-01T11:00"), NOW))
    assert [piece.path for piece in pieces] == [path]


def test_every_exchange_has_an_archive_or_a_reason():
    for name, exchange in EXCHANGES.items():
        for channel in exchange.markets:
            assert ((name, channel) in LAYOUTS) != (name in NOT_AUTOMATIC)
