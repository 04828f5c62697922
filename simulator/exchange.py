"""One market at work: matches become rows of the truth and messages of its streams."""

from simulator import frames
from simulator.faults import Trouble
from simulator.flow import Match, TradeFlow
from simulator.hub import Hub
from simulator.kline_streams import KlineStreams
from simulator.ledger import Ledger, Row, SpotLedger
from simulator.options import SimulatorOptions
from simulator.symbols import Symbol, idle, traded
from simulator.venue import venue

HISTORY_STEP_MS = 1_000
FIRST_TRADE_ID = 1_000_000


class Exchange:
    """Binance spot or Binance USD-M; time and sockets come from outside."""

    def __init__(
        self, market: str, options: SimulatorOptions, *, trades_per_s: float, rows_max: int
    ) -> None:
        self.market = market
        self.venue = venue(market, options)
        self.hub = Hub(write_buffer_bytes_max=options.write_buffer_bytes_max)
        self.trouble = Trouble()
        self.symbols = traded(market, options.symbols, options.seed)
        self.idle_symbols: list[Symbol] = idle(market)
        self.flow = TradeFlow(
            market,
            self.symbols,
            seed=options.seed,
            trades_per_s=trades_per_s,
            insurance_fund_share=options.insurance_fund_share,
        )
        self._by_index: list[Ledger] = [self._open(rank, s) for rank, s in enumerate(self.symbols)]
        self.ledgers = {ledger.symbol.name: ledger for ledger in self._by_index}
        self.klines = KlineStreams(self.venue, self.ledgers, self.hub, self.trouble)
        self.rows_total = 0
        self.rows_delivered = 0
        self.rows_kept = 0
        self._rows_max = rows_max
        self._history_ms_max = options.history_s_max * 1_000
        self._sent: list[tuple[Ledger, int]] = []

    def _open(self, rank: int, symbol: Symbol) -> Ledger:
        first = FIRST_TRADE_ID * (rank + 2)
        if self.market == "spot":
            return SpotLedger(symbol, next_id=first, next_trade_id=first)
        return Ledger(symbol, next_id=first // 2, next_trade_id=first)

    def stream(self, symbol: str, kind: str = "") -> str:
        """The name of a symbol's stream; of the canonical one unless told."""
        return f"{symbol.lower()}@{kind or self.venue.canonical}"

    # -- the passing of time

    def make_history(self, history_ms: int, opened_ms: int) -> None:
        """Trade the virtual past; nobody could listen then."""
        for at_ms in range(-history_ms, 0, HISTORY_STEP_MS):
            for match in self.flow.advance(at_ms, min(at_ms + HISTORY_STEP_MS, 0)):
                self._record(match, opened_ms + match.at_ms, None)

    def trade(self, from_ms: int, until_ms: int, opened_ms: int, now_ms: int) -> None:
        """Trade the virtual time [from_ms, until_ms) and queue what its listeners get."""
        for match in self.flow.advance(from_ms, until_ms):
            self._record(match, opened_ms + match.at_ms, now_ms)

    def deliver(self, now_ms: int, clock_ns: int) -> None:
        """Send everything queued and whatever was held back until now."""
        for name, row_id in self.trouble.due(now_ms):
            for row in self.ledgers[name].rows(row_id, row_id + 1):
                self._announce(self.ledgers[name], row, now_ms)
        self.klines.push(now_ms)
        self.hub.flush()
        for ledger, row_id in self._sent:
            self.rows_delivered += ledger.mark_sent(row_id, clock_ns)
        self._sent.clear()

    # -- one match

    def _record(self, match: Match, ts_ms: int, now_ms: int | None) -> None:
        """``now_ms`` is None in the history, when nobody listens."""
        ledger = self._by_index[match.symbol]
        first_trade_id = ledger.next_trade_id
        if match.insurance_fund:  # takes a trade id, and is seen on the trade stream only
            ledger.next_trade_id += 1
            self._announce_trades(ledger, match, ts_ms, first_trade_id, now_ms)
        elif isinstance(ledger, SpotLedger):
            aggregate_id = ledger.open_aggregate()
            rows = [ledger.append(ts_ms, match.price, q, match.side, 1) for q in match.fills]
            whole = rows[0]._replace(id=aggregate_id, qty=sum(match.fills), last=rows[-1].last)
            self._keep(ledger, rows, now_ms)
            self._announce_aggregate(ledger, whole, now_ms)
        else:
            qty, trades = sum(match.fills), len(match.fills)
            self._keep(ledger, [ledger.append(ts_ms, match.price, qty, match.side, trades)], now_ms)
            self._announce_trades(ledger, match, ts_ms, first_trade_id, now_ms)

    def _keep(self, ledger: Ledger, rows: list[Row], now_ms: int | None) -> None:
        self.rows_total += len(rows)
        self.rows_kept += len(rows)
        if now_ms is not None:
            for row in rows:
                if not self.trouble.hold(ledger.symbol.name, row.id, now_ms):
                    self._announce(ledger, row, now_ms)
        # An eighth at once, so that the columns are moved rarely.
        if self.rows_kept > self._rows_max:
            largest = max(self._by_index, key=len)
            self.rows_kept -= largest.forget(len(largest) // 8)
        elif rows[0].ts_ms - ledger.ts_ms[0] > self._history_ms_max * 9 // 8:
            oldest_ms = rows[0].ts_ms - self._history_ms_max
            self.rows_kept -= ledger.forget(ledger.id_at(oldest_ms) - ledger.first_kept_id)

    def _announce(self, ledger: Ledger, row: Row, now_ms: int) -> None:
        """Queue a row of the truth for those who listen to it."""
        symbol = ledger.symbol
        stream = self.stream(symbol.name)
        if not self.hub.heard(stream) or self.trouble.silent(symbol.name, now_ms):
            return
        encode = frames.trade if self.market == "spot" else frames.aggregate_trade
        payload = encode(self.venue, symbol, row, now_ms)
        if self.hub.publish(stream, payload):
            self.trouble.recent.append((symbol.name, stream, payload))
            self._sent.append((ledger, row.id))

    def _announce_aggregate(self, ledger: Ledger, row: Row, now_ms: int | None) -> None:
        """Spot: the aggregate trade that sums up the trades just sent."""
        stream = self.stream(ledger.symbol.name, "aggTrade")
        if now_ms is None or not self.hub.heard(stream):
            return
        if not self.trouble.silent(ledger.symbol.name, now_ms):
            payload = frames.aggregate_trade(self.venue, ledger.symbol, row, now_ms)
            self.hub.publish(stream, payload)

    def _announce_trades(
        self, ledger: Ledger, match: Match, ts_ms: int, trade_id: int, now_ms: int | None
    ) -> None:
        """Linear: the single trades of an aggregate, or one of the insurance fund."""
        symbol, stream = ledger.symbol, self.stream(ledger.symbol.name, "trade")
        if now_ms is None or not self.hub.heard(stream):
            return
        if self.trouble.silent(symbol.name, now_ms):
            return
        kind = "INSURANCE_FUND" if match.insurance_fund else "MARKET"
        for t, qty in enumerate(match.fills, trade_id):
            row = Row(0, ts_ms, match.price, qty, match.side, t, t)
            self.hub.publish(stream, frames.trade(self.venue, symbol, row, now_ms, kind))
