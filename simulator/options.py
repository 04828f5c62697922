"""What a simulated exchange is told at its start; every number has its bounds here."""

from dataclasses import dataclass

from runtime.errors import Misconfigured

CHANNELS = ("spot", "linear")
EXCHANGES = ("binance", "bybit", "okx", "hyperliquid", "kraken")
TRADES_PER_S_MAX = 200_000.0
FLAGS = {
    "trades_per_s": "--rate",
    "history_s": "--history",
    "history_s_max": "--history-max",
    "past_trades_per_s": "--past-rate",
    "busy_past_h": "--busy-past",
    "busy_trades_per_s": "--busy-rate",
    "archive_lag_h": "--archive-lag",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """``trades_per_s`` is the mean of all symbols of all markets together, without the bursts.

    A market is a channel of an exchange; one that an exchange does not have is left out.
    """

    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 7
    symbols: int = 12
    exchanges: tuple[str, ...] = ("binance",)
    markets: tuple[str, ...] = CHANNELS
    trades_per_s: float = 400.0
    history_s: int = 0
    # How much truth is kept: the older or the surplus part is forgotten, and said to be.
    history_s_max: int = 3_600
    rows_max: int = 8_000_000
    # Before the history, made when it is looked at: so many whole days, the last hours busier.
    past_days: int = 0
    past_trades_per_s: float = 0.02  # of each symbol
    busy_past_h: int = 0
    busy_trades_per_s: float = 5.0
    archive_lag_h: float = 8.0
    linear_horizon_h: float = 24.0  # how far back Binance's USD-M aggTrades reach; 0: all of it
    tick_ms: int = 10
    insurance_fund_share: float = 0.0005
    liquidations_per_s: float = 0.2  # of each linear market
    spot_ping_s: float = 20.0
    spot_pong_timeout_s: float = 60.0
    linear_ping_s: float = 180.0
    linear_pong_timeout_s: float = 600.0
    unheard_s: float | None = None  # instead of the patience of venues whose clients must ping
    connection_lifetime_s: float = 86_400.0  # of venues that end connections
    connection_attempts_max: int = 300  # in 5 minutes, of each exchange
    write_buffer_bytes_max: int = 33_554_432

    def __post_init__(self) -> None:
        """Refuse what cannot run, naming the option."""
        for name, low, high in (
            ("port", 0, 65_535),
            ("symbols", 1, 2_000),
            ("trades_per_s", 0, TRADES_PER_S_MAX),
            ("history_s", 0, self.history_s_max),
            ("history_s_max", 1, 86_400),
            ("rows_max", 1_000, 50_000_000),
            ("past_days", 0, 3_000),
            ("past_trades_per_s", 0, 100),
            ("busy_past_h", 0, 72),
            ("busy_trades_per_s", 0, 1_000),
            ("archive_lag_h", 0, 1_000),
            ("linear_horizon_h", 0, 100_000),
            ("tick_ms", 1, 1_000),
            ("insurance_fund_share", 0, 0.5),
            ("liquidations_per_s", 0, 1_000),
            ("connection_attempts_max", 1, 1_000_000),
            ("write_buffer_bytes_max", 1_024, 1_073_741_824),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise Misconfigured(
                    FLAGS.get(name, "--" + name.replace("_", "-")),
                    f"{value} is outside {low} to {high}",
                    remedy="Choose a number inside.",
                )
        if not self.markets or not set(self.markets) <= set(CHANNELS):
            raise Misconfigured(
                "--markets", f"{','.join(self.markets)!r} is unknown", remedy="spot, linear or both"
            )
        if not self.exchanges or not set(self.exchanges) <= set(EXCHANGES):
            raise Misconfigured(
                "--exchanges",
                f"{','.join(self.exchanges)!r} is unknown",
                remedy=f"Some of {', '.join(EXCHANGES)}, or all.",
            )
