"""One market at work: the truth as time passes, and the streams that tell it."""

from collections import deque
from collections.abc import Sequence

from simulator.book import STEP_MS, Book
from simulator.delivery import Delivery
from simulator.dialect import Dialect
from simulator.faults import Trouble
from simulator.feeds import Forced
from simulator.flow import Match, TradeFlow
from simulator.hub import Hub
from simulator.ledger import FillLedger, Ledger, Row
from simulator.liquidations import Liquidations
from simulator.options import SimulatorOptions
from simulator.past import DAY_MS, Past
from simulator.state import HOUR_MS, MarketState

HISTORY_STEP_MS = 1_000
FIRST_TRADE_ID = 1_000_000
LIQUIDATIONS_KEPT = 10_000


class Exchange:
    """A channel of an exchange; time and sockets come from outside."""

    def __init__(
        self, dialect: Dialect, options: SimulatorOptions, *, trades_per_s: float, rows_max: int
    ) -> None:
        self.dialect = dialect
        self.name = dialect.exchange
        self.market = dialect.channel
        self.seed = f"{options.seed}:{self.name}:{self.market}"
        self.symbols = dialect.symbols(options)
        self.flow = TradeFlow(
            f"{self.name}:{self.market}",
            self.symbols,
            seed=options.seed,
            trades_per_s=trades_per_s,
            insurance_fund_share=dialect.insurance_fund_share,
            is_by_fill=dialect.rows == "fills",
        )
        make = FillLedger if dialect.rows == "fills" else Ledger
        self._by_index: list[Ledger] = [
            make(
                symbol,
                next_id=FIRST_TRADE_ID * (rank + 2) // (1 if make is FillLedger else 2),
                next_trade_id=FIRST_TRADE_ID * (rank + 2),
            )
            for rank, symbol in enumerate(self.symbols)
        ]
        self.ledgers = {ledger.symbol.name: ledger for ledger in self._by_index}
        self.index = {symbol.name: at for at, symbol in enumerate(self.symbols)}
        self.hub = Hub(write_buffer_bytes_max=options.write_buffer_bytes_max)
        self.trouble = Trouble()
        self.delivery = Delivery(self)
        self.liquidations: deque[Forced] = deque(maxlen=LIQUIDATIONS_KEPT)
        self.rows_total = 0
        self.rows_kept = 0
        self._books: dict[str, Book] = {}
        self._states: dict[str, MarketState] = {}
        self._forcing = Liquidations(self, options)
        self._rows_max = rows_max
        self._history_ms_max = options.history_s_max * 1_000

    # -- the truth

    def book(self, name: str) -> Book:
        """The book of a symbol; from the first look at it, it moves with the market."""
        book = self._books.get(name)
        if book is None:
            at = self.index[name]
            book = Book(self.symbols[at], self.flow.bid(at), f"{self.seed}:{name}:book")
            self._books[name] = book
        return book

    @property
    def books(self) -> list[str]:
        """The symbols whose books were looked at."""
        return list(self._books)

    def state(self, name: str, now_ms: int) -> MarketState:
        """Mark, index, funding, open interest and statistics of a symbol as of now."""
        state = self._states.get(name)
        if state is None:
            at = self.index[name]
            state = self._states[name] = MarketState(
                self.ledgers[name],
                lambda: self.flow.bid(at),
                seed=f"{self.seed}:{name}:state",
                funding_hours=self.dialect.funding_hours,
            )
        return state.read(now_ms)

    # -- the passing of time

    def make_past(self, options: SimulatorOptions, opened_ms: int) -> None:
        """Give every symbol a past, which ends where the history begins."""
        until_ms = opened_ms - options.history_s * 1_000
        from_ms = until_ms // DAY_MS * DAY_MS - options.past_days * DAY_MS
        for ledger in self._by_index:
            past = Past(
                ledger.symbol,
                f"{self.seed}:{ledger.symbol.name}:past",
                from_ms=from_ms,
                until_ms=until_ms,
                busy_ms=options.busy_past_h * HOUR_MS,
                rates=(options.past_trades_per_s, options.busy_trades_per_s),
                first_id=ledger.first_kept_id,
                is_by_fill=isinstance(ledger, FillLedger),
            )
            ledger.follow(past)

    def make_history(self, history_ms: int, opened_ms: int) -> None:
        """Trade the virtual past; nobody could listen then."""
        for at_ms in range(-history_ms, 0, HISTORY_STEP_MS):
            for match in self.flow.advance(at_ms, min(at_ms + HISTORY_STEP_MS, 0)):
                self._record(match, opened_ms + match.at_ms, None)

    def trade(self, from_ms: int, until_ms: int, opened_ms: int, now_ms: int) -> None:
        """Trade the virtual time [from_ms, until_ms) and queue what its listeners get."""
        for match in self.flow.advance(from_ms, until_ms):
            self._record(match, opened_ms + match.at_ms, now_ms)
        self.delivery.tell_trades(now_ms)
        for name, book in list(self._books.items()):
            # Symbols take turns, so that no tick has all the books to make.
            at = self.index[name]
            offset_ms = at * 37 % STEP_MS
            if (until_ms - offset_ms) // STEP_MS != (from_ms - offset_ms) // STEP_MS:
                change = book.step(self.flow.bid(at), opened_ms + until_ms)
                self.delivery.tell_book(change, now_ms)
        for forced in self._forcing.advance(from_ms, until_ms, opened_ms):
            self.liquidations.append(forced)
            self.delivery.tell_liquidation(forced, now_ms)

    # -- one match

    def _record(self, match: Match, ts_ms: int, now_ms: int | None) -> None:
        """``now_ms`` is None in the history, when nobody listens."""
        ledger = self._by_index[match.symbol]
        first = ledger.next_trade_id
        if match.insurance_fund:
            ledger.next_trade_id += 1
            fund = Row(0, ts_ms, match.price, match.fills[0], match.side, first, first, True)
            if now_ms is not None:
                self.delivery.note(ledger.symbol.name, [fund], [], now_ms)
            return
        if isinstance(ledger, FillLedger):
            aggregate_id = ledger.open_aggregate()
            fills = [ledger.append(ts_ms, match.price, q, match.side, 1) for q in match.fills]
            total = sum(match.fills)
            levels = [fills[0]._replace(id=aggregate_id, qty=total, last=fills[-1].last)]
            rows = fills
        else:
            total, trades = sum(match.fills), len(match.fills)
            rows = levels = [ledger.append(ts_ms, match.price, total, match.side, trades)]
            fills = [
                Row(0, ts_ms, match.price, qty, match.side, t, t)
                for t, qty in enumerate(match.fills, first)
            ]
        self._keep(ledger, rows)
        if now_ms is not None:
            self.delivery.note(ledger.symbol.name, fills, levels, now_ms)

    def _keep(self, ledger: Ledger, rows: Sequence[Row]) -> None:
        self.rows_total += len(rows)
        self.rows_kept += len(rows)
        # An eighth at once, so that the columns are moved rarely.
        if self.rows_kept > self._rows_max:
            largest = max(self._by_index, key=len)
            self.rows_kept -= largest.forget(len(largest) // 8)
        elif rows[0].ts_ms - ledger.ts_ms[0] > self._history_ms_max * 9 // 8:
            oldest_ms = rows[0].ts_ms - self._history_ms_max
            self.rows_kept -= ledger.forget(ledger.id_at(oldest_ms) - ledger.first_kept_id)
