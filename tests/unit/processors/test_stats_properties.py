"""Whatever the candles and the crashes: what a sum over a plain list of minutes says."""

import random
from decimal import Decimal, localcontext

import orjson
from hypothesis import given
from hypothesis import strategies as st
from market import encode_rows, kline
from replaying import assert_same_story, killed, straight

from processors.stats.fold import QUIET_MINUTES, Stats
from schemas.klines import Kline, KlineEnvelope
from schemas.stats import decode_stats

FIRST = 28_010_880 + 17
DAY = 1_440
STEPS = (0, 1, 1, 1, 2, 30, 61, 700, DAY, -1, -1, -40, -DAY)


def story(rng: random.Random) -> list[list[Kline]]:
    at, made = dict.fromkeys(("A", "B:C", "#D"), FIRST), []
    for rev in range(rng.randint(1, 20)):
        symbol = rng.choice(list(at))
        some = []
        for _ in range(rng.randint(1, 3)):
            minute = at[symbol] + rng.choice(STEPS)
            at[symbol] = max(at[symbol], minute)
            some.append(candle(rng, symbol, minute, rng.randint(max(0, rev - 3), rev)))
        made.append(some)
    return made


def candle(rng: random.Random, symbol: str, at: int, rev: int) -> Kline:
    prices = sorted(Decimal(rng.randrange(1, 10**5)).scaleb(-rng.randrange(4)) for _ in range(4))
    volume = Decimal(rng.randrange(3)).scaleb(-rng.randrange(9))
    return kline(
        symbol=symbol,
        timestamp=at * 60_000,
        low=prices[0],
        open=prices[1],
        close=prices[2],
        high=prices[3],
        volume=volume,
        quote_volume=volume * prices[2],
        taker_buy_volume=volume / 2,
        trade_count=int(volume > 0),
        closed=True,
        rev=rev,
        quality=rng.choice(["proven", "proven", "assumed", "gap"]),
    )


def values(made: list[list[Kline]]) -> list[bytes]:
    return [encode_rows(KlineEnvelope("okx", "spot", rows, n)) for n, rows in enumerate(made)]


stories = st.integers(0, 2**32).map(random.Random).map(story)


@given(stories, st.integers(0, 2**32))
def test_any_crash_and_replay_tells_the_same_story(made, seed) -> None:
    records = values(made)
    wanted = straight(lambda: Stats(0), records)
    assert_same_story(killed(Stats, records, seed), wanted)


@given(stories)
def test_the_statistics_are_those_of_a_list_of_minutes(made) -> None:
    minutes: dict[str, dict[int, Kline]] = {}
    ends: dict[str, int] = {}
    last: dict[str, tuple[int, Decimal]] = {}
    for rows in made:
        for row in rows:
            at, own = row.timestamp // 60_000, minutes.setdefault(row.symbol, {})
            if at < ends.get(row.symbol, 0) - DAY:
                continue
            if at not in own or row.version > own[at].version:
                own[at] = row
                ends[row.symbol] = max(ends.get(row.symbol, 0), at + 1)
                if at >= last.get(row.symbol, (0, 0))[0]:
                    last[row.symbol] = at, row.close
        newest = max(ends.values())
        ends = {symbol: max(end, newest - QUIET_MINUTES) for symbol, end in ends.items()}
    seen = straight(lambda: Stats(0), values(made))
    for _, value in seen.newest.values():
        (row,) = decode_stats(value).data
        end = ends[row.symbol]
        own = minutes[row.symbol]
        day = [own[at] for at in sorted(own) if end - DAY <= at < end]
        traded = [k for k in day if k.trade_count]
        with localcontext(prec=99):
            assert row.volume == sum(k.volume for k in day)
            assert row.quote_volume == sum(k.quote_volume for k in day)
        assert row.to_ms == end * 60_000
        assert row.open_price == (traded[0].open if traded else None)
        assert row.high_price == max((k.high for k in traded), default=None)
        assert row.low_price == min((k.low for k in traded), default=None)
        assert row.last_price == last[row.symbol][1]
        assert row.trade_count == row.candles == len(traded)
        assert row.gap_minutes == sum(k.quality == "gap" for k in day)
        assert orjson.loads(value)["exchange"] == "okx"
