"""``fibstream replay``: recorded frames through the production parser and engine, without Kafka.

Nothing reads a clock: the same recordings give the same rows, on any day and any machine.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import orjson

from fibstream.replay.books import ReplayedBooks
from fibstream.replay.candles import ReplayedCandles
from fibstream.replay.events import EventRows
from fibstream.replay.summary import Summary
from fibstream.replay.tape import Tape
from ingest.decimals import Unfit
from ingest.dedup import Seen, seen_ids
from ingest.exchanges import EXCHANGES
from ingest.exchanges.base import KIND_OF, BookRow, Data, Other, TradeRow
from ingest.recording import Refused, read_events
from runtime.errors import Misconfigured, PipelineError
from runtime.settings import Settings
from schemas.intervals import BadInterval, Interval, parse_intervals
from schemas.trades import Channel

Target = Literal["events", "klines", "book-tops"]
BUFFER_BYTES = 64 << 10


class Incomplete(PipelineError):  # noqa: N818 - reads as the claim it makes
    """The rows do not hold all that the recordings hold, or should hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """What to read and what to make of it; ``settings`` say how candles are made."""

    exchange: str
    channel: str
    files: Sequence[str]
    to: str
    settings: Settings
    intervals: str | None = None
    """Comma separated; None means those of the settings."""
    is_strict: bool = False
    as_json: bool = False


def run_replay(options: ReplayOptions) -> None:
    """Write rows to stdout and the summary to stderr, JSON last; exit 1 if it is not all."""
    replay = Replay(options)
    try:
        with open(sys.stdout.fileno(), "wb", BUFFER_BYTES, closefd=False) as out:
            out.writelines(replay.rows())
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    except OSError as e:  # of stdout: the tape keeps those of its files
        raise Incomplete(f"stdout cannot be written to ({e.strerror})") from e
    summary, failure = replay.summary, None
    if replay.tape.damaged:
        failure = "what was readable is above, but:\n  " + "\n  ".join(replay.tape.damaged)
    elif options.is_strict and summary.refused_count:
        failure = f"{summary.refused_count} frames were refused (--strict)"
    people = [] if options.as_json else [summary.as_text()]
    told = orjson.dumps(summary.as_dict()).decode()
    print(*people, *filter(None, [failure]), told, sep="\n", file=sys.stderr)  # noqa: T201
    if failure:
        raise SystemExit(1)


class Replay:
    """One pass over the recordings; ``summary`` grows while ``rows`` is read."""

    def __init__(self, options: ReplayOptions) -> None:
        _check(options)
        self.tape = Tape(options.files)
        self.summary = Summary()
        self._exchange = options.exchange
        self._channel = cast("Channel", options.channel)
        self._market = EXCHANGES[options.exchange].markets[self._channel]
        self._to = options.to
        self._settings = options.settings
        self._intervals = _intervals(options)
        self._seen: dict[str, Seen] = {}
        self._head = f'{{"exchange":"{options.exchange}","channel":"{options.channel}",'

    def rows(self) -> Iterator[bytes]:
        """Yield JSON objects, a line each, and keep the summary."""
        makers = {"events": self._events, "klines": self._klines, "book-tops": self._book_tops}
        for row in makers[self._to]():
            self.summary.rows += 1
            yield row
        self.summary.frames = self.tape.frames

    def _told(self) -> Iterator[Data]:
        """Yield what the frames tell of the market, each trade once, as the ingestor would."""
        kinds, tape = self.summary.kinds, self.tape
        for event in read_events(tape, self._exchange, self._channel, self._recv_ms):
            if isinstance(event, Refused):
                self._refuse(event.reason)
            elif isinstance(event, Other):
                self.summary.control[event.kind] += 1
            else:
                kinds[KIND_OF[type(event)]] += 1
                if type(event) is not TradeRow or self._is_new(event):
                    yield event
                else:
                    self.summary.duplicates += 1

    def _is_new(self, trade: TradeRow) -> bool:
        seen = self._seen.get(trade.symbol)
        if seen is None:
            seen = self._seen[trade.symbol] = seen_ids(self._market.ids)
        return seen.is_new(trade, self.tape.recv_ns or trade.ts * 1_000_000)

    def _events(self) -> Iterator[bytes]:
        rows = EventRows(self._head, in_contracts=self._market.in_base is not None)
        for event in self._told():
            try:
                yield rows.row(event)
            except ValueError as e:
                self._refuse(str(e))

    def _book_tops(self) -> Iterator[bytes]:
        rule = self._market.book
        if rule is None:
            raise Misconfigured("--to", f"{self._exchange} tells no books", remedy="Try events.")
        in_contracts = self._market.in_base is not None
        books = ReplayedBooks(rule, head=self._head, in_contracts=in_contracts)
        for event in self._told():
            if type(event) is BookRow:
                yield from books.rows(event, self.tape.recv_ns)
        self.summary.notes = books.notes()

    def _klines(self) -> Iterator[bytes]:
        tape = self.tape
        candles = ReplayedCandles(self._exchange, self._channel, self._intervals, self._settings)
        for event in self._told():
            if type(event) is not TradeRow:
                continue
            try:
                is_due = candles.add(event, tape.recv_ns)
            except Unfit as e:
                self._refuse(str(e))
                continue
            if is_due:
                yield from candles.rows(is_last_file=tape.is_last)
        yield from candles.rest(tape.recv_ns)
        self.summary.notes = candles.notes()

    def _recv_ms(self) -> int:
        return (self.tape.recv_ns or 0) // 1_000_000

    def _refuse(self, reason: str) -> None:
        self.summary.refuse(reason, f"{self.tape.file}:{self.tape.line}")


def _check(options: ReplayOptions) -> None:
    venue = EXCHANGES.get(options.exchange)
    if venue is None:
        raise _unknown("--exchange", options.exchange, EXCHANGES)
    if options.channel not in venue.markets:
        raise _unknown("--channel", options.channel, venue.markets)
    if options.to not in get_args(Target):
        raise _unknown("--to", options.to, get_args(Target))


def _intervals(options: ReplayOptions) -> tuple[Interval, ...]:
    if options.intervals is None:
        return parse_intervals(options.settings.kline_intervals)
    try:
        return parse_intervals(options.intervals.split(","))
    except BadInterval as e:
        remedy = "Example: --intervals 1m,5m,173m"
        raise Misconfigured("--intervals", str(e), remedy=remedy) from e


def _unknown(option: str, name: str, known: Iterable[str]) -> Misconfigured:
    return Misconfigured(option, f"{name!r} is unknown", remedy=f"Known: {', '.join(known)}.")
