"""What the written pages say of venues, limits, modules and metrics is what the code says."""

import importlib
import re
from pathlib import Path

import pytest

from fibstream.docs import pages
from ingest.exchanges import EXCHANGES
from schemas.streams import KINDS

REPOSITORY = Path(__file__).parents[2]
VENUES = (REPOSITORY / "docs/venues.md").read_text()
INGEST = (REPOSITORY / "docs/ingest.md").read_text()
OPERATIONS = (REPOSITORY / "docs/operations.md").read_text()
ARCHITECTURE = (REPOSITORY / "ARCHITECTURE.md").read_text()
README = (REPOSITORY / "README.md").read_text()
CLAIMS = {"dense": "proven", "range": "proven", "unique": "assumed"}
COLUMNS = {
    "Binance spot": ("binance", "spot"),
    "Binance USD-M": ("binance", "linear"),
    "Bybit spot": ("bybit", "spot"),
    "Bybit linear": ("bybit", "linear"),
    "OKX spot": ("okx", "spot"),
    "OKX swaps": ("okx", "linear"),
    "Hyperliquid": ("hyperliquid", "linear"),
    "Kraken spot": ("kraken", "spot"),
}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def rows(page: str, first: str) -> list[list[str]]:
    """Return the rows of the table whose title line begins so."""
    lines = page.partition(first)[2].splitlines()
    table = [first + lines[0], *lines[2:]]
    end = next((i for i, line in enumerate(table) if not line.startswith("|")), len(table))
    return [cells(line) for line in table[:end]]


def test_the_table_of_venues_is_the_registry():
    titles, *body = rows(VENUES, "| | Binance spot")
    assert set(COLUMNS.values()) == {(e.name, c) for e in EXCHANGES.values() for c in e.markets}
    told = {row[0]: dict(zip(titles[1:], row[1:], strict=True)) for row in body}
    assert set(told) == {*KINDS, "trade ids", "candles are"}
    for title, (name, channel) in COLUMNS.items():
        market = EXCHANGES[name].markets[channel]
        by = dict.fromkeys((s.kind for s in market.subscriptions), "ws")
        by |= dict.fromkeys((p.kind for p in market.polls), "http")
        assert {kind: told[kind][title] for kind in KINDS} == {k: by.get(k, "-") for k in KINDS}
        assert told["trade ids"][title] == market.ids
        assert told["candles are"][title] == CLAIMS[market.ids]


def test_every_exchange_has_a_section_and_a_row():
    for exchange in EXCHANGES.values():
        assert re.search(rf"^## {exchange.name}$", VENUES, re.MULTILINE | re.IGNORECASE)
        (row,) = [r for r in rows(README, "| | markets") if r[0] == f"`{exchange.name}`"]
        claims = {CLAIMS[market.ids] for market in exchange.markets.values()}
        kinds = {s.kind for m in exchange.markets.values() for s in m.subscriptions}
        assert claims == {row[-1]}
        assert {"trades", "books", "venue-klines"} <= kinds
        assert (row[3] != "no") is ("tickers" in kinds)
        assert (row[5] != "no") is ("liquidations" in kinds)


@pytest.mark.parametrize(
    ("row", "constants"),
    [
        ("answer to a subscription", ["ingest.session.ACK_TIMEOUT_S"]),
        ("frames queued on a socket", ["ingest.link.FRAMES_QUEUED_MAX"]),
        ("old and new connection together", ["ingest.feed.OVERLAP_S"]),
        ("rows collected or in flight", ["ingest.publisher.ROWS_MAX"]),
        ("trades in a record", ["ingest.batches.RECORD_ROWS_MAX"]),
        (
            "rows, or levels",
            ["ingest.outgoing.RECORD_ROWS_MAX", "ingest.outgoing.RECORD_LEVELS_MAX"],
        ),
        ("trade ids remembered", ["ingest.dedup.KEPT_MIN", "ingest.dedup.KEPT_MAX"]),
        ("missing id ranges", ["ingest.dedup.MISSING_RANGES_MAX"]),
        ("liquidations compared", ["ingest.repeats.ROWS_MAX"]),
        (
            "book updates waiting",
            ["ingest.books.keeper.QUEUED_UPDATES_MAX", "ingest.books.keeper.WAITING_UPDATES_MAX"],
        ),
        (
            "snapshots asked at once",
            ["ingest.books.snapshots.IN_FLIGHT_MAX", "ingest.books.snapshots.FETCH_S_MAX"],
        ),
        ("gap events", ["ingest.gaps.WAITING_MAX"]),
        ("streams on `md.control.v1`", ["ingest.control.STREAMS_MAX"]),
        (
            "dead letters",
            [
                "ingest.publisher.DEAD_LETTERS_PER_S_MAX",
                "ingest.publisher.DEAD_LETTERS_WAITING_MAX",
            ],
        ),
        ("REST answer", ["ingest.rest.TIMEOUT_S"]),
        ("pages of a list", ["ingest.plan.PAGES_MAX"]),
    ],
)
def test_a_limit_has_the_value_that_the_page_says(row, constants):
    (told,) = [r[1] for r in rows(INGEST, "| limit |") if r[0].startswith(row)]
    numbers = {float(n.replace(",", "")) for n in re.findall(r"[\d,]*\d", told)}
    for constant in constants:
        module, _, name = constant.rpartition(".")
        assert float(getattr(importlib.import_module(module), name)) in numbers, constant


@pytest.mark.parametrize(
    ("constant", "sentence"),
    [
        ("feed.STALE_AFTER_S", "or without any data for {:g} s"),
        ("feed.STALE_AFTER_MAX_S", "doubles that patience up to {:g} s"),
        ("session.REFUSED_AGAIN_AFTER_S", "a refused topic is asked again after {:g} s"),
        ("pacing.BACKOFF_FIRST_S", "it waits {:g} s, doubled"),
        ("pacing.BACKOFF_MAX_S", "doubled up to {:g} s, times a random number"),
        ("silence.OVERDUE_MIN_S", "and at least {:g} s; or"),
        ("silence.OVERDUE_FACTOR", "nothing for {:g} times its usual distance"),
        ("silence.FIRST_DATA_WITHIN_S", "nothing for {:g} s where nothing ever came"),
        ("silence.PROOF_MARGIN_S", "more than {:g} s after the last arrival"),
        ("silence.RENEW_FIRST_S", "at once, after {:g} s, and with pauses doubled"),
        ("silence.RENEW_MAX_S", "pauses doubled up to {:g} s."),
        ("budget.FIREWALL_PAUSE_S", "the time that the venue names, or {:g} s"),
        ("budget.REDIS_RETRY_S", "tries Redis again every {:g} s"),
    ],
)
def test_a_number_in_the_text_is_the_codes(constant, sentence):
    module, _, name = constant.partition(".")
    number = getattr(importlib.import_module(f"ingest.{module}"), name)
    assert sentence.format(number) in " ".join(INGEST.split())


def test_every_module_of_the_ingestor_has_a_place_in_the_architecture():
    table = "\n".join(" ".join(row) for row in rows(ARCHITECTURE, "| modules of `ingest/` |"))
    named = set(re.findall(r"`(\w+)/?`", table)) - {"ingest"}
    there = {p.stem for p in (REPOSITORY / "ingest").glob("*.py")} | {"books"}
    assert named == there - {"__init__", "metrics"}


def test_every_folder_of_the_code_map_exists():
    for row in rows(ARCHITECTURE, "| folder | what"):
        if row[0] != "folder":
            assert (REPOSITORY / row[0].strip("`")).is_dir()


def test_every_metric_that_the_pages_name_is_one():
    declared = set()
    for path in REPOSITORY.glob("*/**/metrics.py"):
        if ".venv" not in path.parts:
            declared |= set(re.findall(r'"(fibstream_\w+)"', path.read_text()))
    named = set(re.findall(r"`(fibstream_\w+)`", OPERATIONS + INGEST + VENUES))
    assert named
    assert {name.removesuffix("_total") for name in named} <= {
        name.removesuffix("_total") for name in declared
    }


@pytest.mark.parametrize(
    "path", sorted(REPOSITORY.glob("*.md")) + sorted(REPOSITORY.glob("docs/*.md"))
)
def test_a_page_names_only_settings_that_exist_and_no_place_of_a_machine(path):
    text = path.read_text()
    known = set(re.findall(r"^(STREAMER_\w+)=", pages()[".env.example"], re.MULTILINE))
    named = set(re.findall(r"STREAMER_[A-Z_]+[A-Z](?![A-Z_{])", text))
    if path.name != "CHANGELOG.md":  # it tells of settings that were
        assert named <= known
    assert not re.search(r"/work/|/home/|/root/|/tmp/|pypi|pythonhosted|maven", text)
