"""One record of every topic, made by the code that writes it: for the generated pages.

Rows begin as a venue's frames and pass through the ingestor's own parts, so an example cannot show
what is never written.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from ingest.books import BookKeeping
from ingest.exchanges import EXCHANGES
from ingest.exchanges.base import KIND_OF, BookRow, Instrument
from ingest.gaps import StreamGaps
from ingest.outgoing import Record, UpdateCollector
from ingest.status import StatusBoard
from processors.books import Books
from processors.engine.engine import Engine
from processors.fold import Fold
from processors.stats.fold import Stats
from processors.tickers import Tickers
from processors.ticks import Ticks
from processors.venue.reconciliation import Reconciliations
from schemas.alerts import (
    ConsumerLag,
    DiskFree,
    GapOpen,
    PriceCrosses,
    PriceMoves,
    StreamSilent,
    VolumeSpike,
    encode_alert,
)
from schemas.bars import parse_bar_sizes
from schemas.control import Control, IntervalControl
from schemas.dead_letters import DeadLetter, encode_dead_letter
from schemas.integrity import Checked, IntegrityEnvelope, encode_integrity
from schemas.intervals import DAY_MS, MINUTE_MS, SECOND_MS, Interval
from schemas.keys import (
    ApiKey,
    AuditEntry,
    TokenFamily,
    encode_audit,
    encode_family,
    encode_key,
)
from schemas.klines import Price, StreamGap, decode_klines
from schemas.recovery import Backfill, Recovery, encode_progress
from schemas.streams import StreamKey
from schemas.topics import (
    ALERT_STATES,
    ALERTS,
    AUDIT,
    CONTROL,
    DEAD_LETTERS,
    GAPS,
    INTEGRITY,
    KEYS,
    KLINES,
    RECONCILIATION,
    RECOVERY,
    TOKEN_FAMILIES,
    TRADES,
    VENUE_KLINES,
)
from schemas.trades import SymbolTrades, TradeBatch, encode_batch
from schemas.updates import VenueKline, VenueKlineUpdates, encode_updates
from sinks.alerts.machine import Machine

BEGIN_MS = 1_680_652_700_452
MARKET = EXCHANGES["bybit"].markets["linear"]
FRAMES = (
    (
        b'{"topic":"tickers.BTCUSDT","type":"delta","cs":24987956059,"ts":1680652700452,"data":'
        b'{"symbol":"BTCUSDT","lastPrice":"28145.20","markPrice":"28146.10","fundingRate":"0.0001",'
        b'"nextFundingTime":"1680681600000","openInterest":"51247.301",'
        b'"openInterestValue":"1442371018.90"}}'
    ),
    (
        b'{"topic":"orderbook.200.BTCUSDT","type":"snapshot","ts":1680652700440,"cts":1680652700438,'
        b'"data":{"s":"BTCUSDT","b":[["28145.10","1.250"],["28145.00","0.004"]],'
        b'"a":[["28145.20","3.017"]],"u":18521288,"seq":7961638724}}'
    ),
    (
        b'{"topic":"orderbook.200.BTCUSDT","type":"delta","ts":1680652700460,"cts":1680652700458,'
        b'"data":{"s":"BTCUSDT","b":[["28145.00","0"]],"a":[["28145.30","0.500"]],"u":18521289,'
        b'"seq":7961638726}}'
    ),
    (
        b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1680652700500,"data":'
        b'[{"T":1680652700449,"s":"BTCUSDT","S":"Buy","v":"0.035","p":"27990.10"}]}'
    ),
    (
        b'{"topic":"kline.1.BTCUSDT","type":"snapshot","ts":1680652700480,"data":'
        b'[{"start":1680652680000,"end":1680652739999,"interval":"1","open":"28140.00",'
        b'"close":"28145.20","high":"28146.00","low":"28139.90","volume":"12.345",'
        b'"turnover":"347452.1","confirm":false,"timestamp":1680652700452}]}'
    ),
)


def example_records() -> dict[str, Sequence[bytes]]:
    """Return, by topic, one record for each type of value that it carries."""
    found = {
        CONTROL.name: msgspec.json.encode(
            Control(
                exchange="bybit",
                channel="linear",
                symbol="BTCUSDT",
                kind="books",
                transport="ws",
                changed_ms=BEGIN_MS,
            )
        ),
        DEAD_LETTERS.name: encode_dead_letter(
            DeadLetter(
                reason="btcusdt@aggTrade: `p` is missing",
                source="wss://fstream.binance.com/market/stream",
                payload=b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade"}}',
                recv_ns=BEGIN_MS * 1_000_000,
            )
        ),
        **_gateway(),
        **_folded(),
        **_by_topic(_updates()),
        **_by_topic(_told()),
    }
    found |= _merged(found)
    examples: dict[str, Sequence[bytes]] = {name: (value,) for name, value in found.items()}
    stream_gap = _by_topic(_stream_gap())[GAPS.name]
    examples[GAPS.name] = (found[GAPS.name], stream_gap)
    examples[TRADES.name] = (encode_batch(_without_dense_ids()), found[TRADES.name])
    examples[INTEGRITY.name] = (_checked(),)
    examples[RECOVERY.name] = _recovery()
    examples[RECONCILIATION.name] = (_compared(found[KLINES.name]),)
    interval = IntervalControl(interval="1w@mon", changed_ms=BEGIN_MS)
    examples[CONTROL.name] = (found[CONTROL.name], msgspec.json.encode(interval))
    return examples | _alerts()


def _alerts() -> dict[str, Sequence[bytes]]:
    """Return a rule of each kind, and what became of one that crossed."""
    to = ["tgram://TOKEN/CHAT"]
    level = PriceCrosses(id="btc-30k", to=to, symbol="BTCUSDT", level=Decimal(30_000))
    rules = (
        level,
        PriceMoves(id="crash", to=to, symbol="*", percent=Decimal(5), within_s=300),
        VolumeSpike(id="rush", to=to, symbol="BTC*", interval="1m", times=Decimal(10)),
        GapOpen(id="gaps", to=to, longer_s=300),
        StreamSilent(id="silent", to=to, longer_s=60),
        ConsumerLag(id="lag", to=to, group="fibstream.sink.*", above=100_000),
        DiskFree(id="disk", to=to, path="/", below_gib=Decimal(10)),
    )
    machine = Machine()
    machine.load([level], ())
    for rev, price in enumerate(("29999.9", "30000.1")):
        row = Price("BTCUSDT", Decimal(price), BEGIN_MS + rev, rev)
        machine.take_price(("binance", "linear", "BTCUSDT"), row)
    (state,) = machine.states.values()
    return {
        ALERTS.name: [encode_alert(rule) for rule in rules],
        ALERT_STATES.name: [encode_alert(state)],
    }


def _gateway() -> dict[str, bytes]:
    """Return an API key, a call that it was used for, and its refresh tokens."""
    key = ApiKey(
        id="5d2f0c9a7b41",
        name="desk-3",
        role="operator",
        hash="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        created_ms=BEGIN_MS,
        expires_ms=BEGIN_MS + 90 * DAY_MS,
    )
    entry = AuditEntry(
        at_ms=BEGIN_MS,
        key_id=key.id,
        name=key.name,
        role=key.role,
        ip="192.0.2.7",
        method="POST",
        path="/streams",
        status=202,
    )
    family = TokenFamily(
        id="0f3a91c47d52e6b8",
        key_id=key.id,
        used=4,
        call="c81e728d9d4c2f63",
        until_ms=BEGIN_MS + 7 * DAY_MS,
    )
    return {
        KEYS.name: encode_key(key),
        AUDIT.name: encode_audit(entry),
        TOKEN_FAMILIES.name: encode_family(family),
    }


def _folded() -> dict[str, bytes]:
    """Return trades, and what the processor makes of them."""
    engine = Engine(
        (Interval(MINUTE_MS),),
        grace_ms=80,
        live_every_ms=250,
        closes_quiet=True,
        bars=parse_bar_sizes(["volume:0.02"]),
    )
    # Two trades, silence in which eight ids are missed, and one of the eight after all.
    story = [
        _batch([3_535_186_032, 3_535_186_033], [0, 0], [2_814_510, 2_814_520], [2, 20]),
        _batch([3_535_186_042], [80 * SECOND_MS], [2_814_990], [7]),
        _batch([3_535_186_035], [3 * SECOND_MS], [2_814_600], [1]),
    ]
    found = {TRADES.name: encode_batch(story[0])}
    for offset, batch in enumerate(story):
        engine.apply_batch(0, offset, batch)
        for output in engine.outputs(batch.recv_ns // 1_000_000, {0}):
            found.setdefault(output.topic.name, output.value)
    return found


def _merged(found: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what the agents of one state a symbol make of the records found."""
    merged: dict[str, bytes] = {}
    folds: tuple[Fold, ...] = (Tickers(0), Books(0, 20), Stats(), Ticks(0))
    for fold in folds:
        (source,) = fold.reads
        fold.apply(source, 0, 0, found[source.name])
        merged |= {output.topic.name: output.value for output in fold.outputs(BEGIN_MS, {0})}
    return merged


def _compared(klines: bytes) -> bytes:
    """Return what is said of our candle where the exchange has counted the trades we miss."""
    ours = decode_klines(klines)
    (row,) = ours.data
    told = VenueKline(
        symbol=row.symbol,
        interval=row.interval,
        name="1m",
        timestamp=row.timestamp,
        open=row.open,
        high=row.high,
        low=row.low,
        close=row.close,
        volume=row.volume + 1,
        closed=True,
        ts=row.timestamp + row.interval,
        trade_count=row.trade_count + row.missing,
    )
    updates = VenueKlineUpdates(
        exchange=ours.exchange, channel=ours.channel, recv_ns=ours.recv_ms * 1_000_000, data=[told]
    )
    fold = Reconciliations([Interval(MINUTE_MS)])
    fold.apply(KLINES, 0, 0, klines)
    fold.apply(VENUE_KLINES, 0, 0, encode_updates(updates))
    return next(fold.outputs(BEGIN_MS, {0})).value


def _recovery() -> Sequence[bytes]:
    """Return a gap of eight ids of which one is left, and a backfill that has come two days far."""
    gap = Recovery(
        exchange="binance",
        channel="linear",
        symbol="BTCUSDT",
        first_id=3_535_186_034,
        last_id=3_535_186_041,
        from_ms=BEGIN_MS,
        to_ms=BEGIN_MS + 80 * SECOND_MS,
        state="open",
        left=[(3_535_186_035, 3_535_186_035)],
        exhausted=["rest"],
        trades=7,
        rev=3,
    )
    today_ms = BEGIN_MS - BEGIN_MS % DAY_MS
    backfill = Backfill(
        exchange="binance",
        channel="linear",
        symbol="BTCUSDT",
        from_ms=today_ms - 90 * DAY_MS,
        to_ms=today_ms,
        floor_ms=today_ms - 90 * DAY_MS,
        reached_ms=today_ms - 2 * DAY_MS,
        trades=2_431_790,
    )
    return encode_progress(gap), encode_progress(backfill)


def _checked() -> bytes:
    """Return what is kept of a day in which eight ids are missing."""
    day_ms = BEGIN_MS - BEGIN_MS % DAY_MS
    row = Checked(
        symbol="BTCUSDT",
        period="day",
        period_ms=day_ms,
        first_id=3_535_186_032,
        last_id=3_535_186_042,
        first_ms=BEGIN_MS,
        last_ms=BEGIN_MS + 80 * SECOND_MS,
        count=3,
        duplicates=0,
        gaps_count=8,
        unrecoverable=0,
        quality="gap",
        trusted=False,
        checked_ms=day_ms + 2 * DAY_MS,
    )
    return encode_integrity(IntegrityEnvelope("binance", "linear", [row]))


def _without_dense_ids() -> TradeBatch:
    """Return trades of a venue whose ids prove nothing: they are not packed."""
    at_ms, uids = BEGIN_MS + 7, ["2f5c8f6e-5b1f-5d0c-9d5b-6a7f1c1f4f2e"]
    trades = SymbolTrades(
        *("BTCUSDT", 2, 3, [7_961_638_724], [at_ms], [2_814_520], [35], 1),
        uid=uids,
        ids="unique",
    )
    return TradeBatch("bybit", "linear", "live", (at_ms + 3) * 1_000_000, [trades])


def _batch(ids: list[int], after_ms: list[int], price: list[int], qty: list[int]) -> TradeBatch:
    ts = [BEGIN_MS + ms for ms in after_ms]
    trades = SymbolTrades("BTCUSDT", 2, 3, ids, ts, price, qty, side=-1)
    return TradeBatch("binance", "linear", "live", (ts[-1] + 3) * 1_000_000, [trades])


def _updates() -> Iterable[Record]:
    """Return what is no trade, one record a kind."""
    collector = UpdateCollector("bybit", "linear", topic_prefix="", partition_of=lambda _: 0)
    books = BookKeeping(MARKET.book) if MARKET.book else None
    recv_ns = (BEGIN_MS + 50) * 1_000_000
    for row in (row for frame in FRAMES for row in MARKET.parse(frame)):
        if isinstance(row, BookRow):
            if books is not None:
                books.take(row, recv_ns)
        elif type(row) in KIND_OF:
            collector.add(KIND_OF[type(row)], row, recv_ns)  # type: ignore[index, arg-type]
    for update in books.drain().updates if books is not None else ():
        collector.add("books", update, recv_ns)
    return collector.records()


def _told() -> Iterable[Record]:
    """Return the state of a stream, and a symbol."""
    board = StatusBoard("")
    board.set(StreamKey("bybit", "linear", "BTCUSDT", "books", "ws"), "live", BEGIN_MS)
    instrument = Instrument(
        symbol="BTCUSDT",
        unified="BTC/USDT:USDT",
        status="Trading",
        is_streamed=True,
        price_scale=2,
        qty_scale=3,
        tick="0.10",
        step="0.001",
    )
    board.list_instruments("bybit", "linear", [instrument])
    return board.records()


def _stream_gap() -> Iterable[Record]:
    gaps = StreamGaps("bybit", "linear", "")
    gap = StreamGap(
        symbol="BTCUSDT",
        kind="tickers",
        reason="silent",
        state="found",
        from_ms=BEGIN_MS,
        detail="acknowledged, but no data",
    )
    gaps.told([gap])
    return gaps.records()


def _by_topic(records: Iterable[Record]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for record in records:
        found.setdefault(record.topic, record.value)
    return found
