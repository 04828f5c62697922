"""What a simulated exchange is told at its start; every number has its bounds here."""

from dataclasses import dataclass

from runtime.errors import Misconfigured

MARKETS = ("spot", "linear")
TRADES_PER_S_MAX = 200_000.0
FLAGS = {"trades_per_s": "--rate", "history_s": "--history", "history_s_max": "--history-max"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """``trades_per_s`` is the mean of all symbols of all markets together, without the bursts."""

    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 7
    symbols: int = 12
    markets: tuple[str, ...] = MARKETS
    trades_per_s: float = 400.0
    history_s: int = 0
    # How much truth is kept: the older or the surplus part is forgotten, and said to be.
    history_s_max: int = 3_600
    rows_max: int = 8_000_000
    tick_ms: int = 10
    insurance_fund_share: float = 0.0005
    spot_ping_s: float = 20.0
    spot_pong_timeout_s: float = 60.0
    linear_ping_s: float = 180.0
    linear_pong_timeout_s: float = 600.0
    connection_lifetime_s: float = 86_400.0
    connection_attempts_max: int = 300  # in 5 minutes
    write_buffer_bytes_max: int = 8_388_608

    def __post_init__(self) -> None:
        """Refuse what cannot run, naming the option."""
        for name, low, high in (
            ("port", 0, 65_535),
            ("symbols", 1, 2_000),
            ("trades_per_s", 0, TRADES_PER_S_MAX),
            ("history_s", 0, self.history_s_max),
            ("history_s_max", 1, 86_400),
            ("rows_max", 1_000, 50_000_000),
            ("tick_ms", 1, 1_000),
            ("insurance_fund_share", 0, 0.5),
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
        if not self.markets or not set(self.markets) <= set(MARKETS):
            raise Misconfigured(
                "--markets", f"{','.join(self.markets)!r} is unknown", remedy="spot, linear or both"
            )
