"""``python -m simulator``: simulated exchanges as a process; its port goes to the ready pipe."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from runtime.errors import Misconfigured
from runtime.logs import configure_logging
from runtime.ready import announce
from runtime.settings import load_settings
from runtime.shutdown import exit_code, run
from simulator.options import EXCHANGES, SimulatorOptions
from simulator.server import Simulator


def _arguments() -> argparse.Namespace:
    defaults = SimulatorOptions()
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--host", default=defaults.host)
    parser.add_argument("--port", type=int, default=defaults.port, help="0: any free port")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--symbols", type=int, default=defaults.symbols, help="in each market")
    parser.add_argument(
        "--exchanges", default=",".join(defaults.exchanges), help="names with commas, or all"
    )
    parser.add_argument("--markets", default=",".join(defaults.markets))
    parser.add_argument(
        "--rate", type=float, default=defaults.trades_per_s, help="trades/s of all markets together"
    )
    parser.add_argument("--history", type=int, default=defaults.history_s, help="s of past trades")
    parser.add_argument("--history-max", type=int, default=defaults.history_s_max, help="s kept")
    parser.add_argument("--rows-max", type=int, default=defaults.rows_max, help="trades kept")
    parser.add_argument(
        "--past-days", type=int, default=defaults.past_days, help="days before the history"
    )
    parser.add_argument(
        "--past-rate", type=float, default=defaults.past_trades_per_s, help="trades/s of a symbol"
    )
    parser.add_argument(
        "--busy-past", type=int, default=defaults.busy_past_h, help="hours at its end"
    )
    parser.add_argument(
        "--busy-rate", type=float, default=defaults.busy_trades_per_s, help="trades/s then"
    )
    parser.add_argument(
        "--archive-lag", type=float, default=defaults.archive_lag_h, help="hours after a day's end"
    )
    parser.add_argument("--tick-ms", type=int, default=defaults.tick_ms)
    return parser.parse_args()


def _exchanges(text: str) -> tuple[str, ...]:
    return EXCHANGES if text == "all" else tuple(name for name in text.split(",") if name)


def _options(arguments: argparse.Namespace) -> SimulatorOptions:
    return SimulatorOptions(
        host=arguments.host,
        port=arguments.port,
        seed=arguments.seed,
        symbols=arguments.symbols,
        exchanges=_exchanges(arguments.exchanges),
        markets=tuple(m for m in arguments.markets.split(",") if m),
        trades_per_s=arguments.rate,
        history_s=arguments.history,
        history_s_max=arguments.history_max,
        rows_max=arguments.rows_max,
        past_days=arguments.past_days,
        past_trades_per_s=arguments.past_rate,
        busy_past_h=arguments.busy_past,
        busy_trades_per_s=arguments.busy_rate,
        archive_lag_h=arguments.archive_lag,
        tick_ms=arguments.tick_ms,
    )


async def _serve(options: SimulatorOptions, stop: asyncio.Event) -> None:
    async with _listening(options) as simulator:
        announce(port=simulator.port)
        stopped = asyncio.create_task(stop.wait())
        clock = asyncio.create_task(simulator.clock())
        await asyncio.wait((stopped, clock), return_when=asyncio.FIRST_COMPLETED)
        if clock.done():
            clock.result()  # it ends only by a bug
        stopped.cancel()
        clock.cancel()


@asynccontextmanager
async def _listening(options: SimulatorOptions) -> AsyncIterator[Simulator]:
    async with AsyncExitStack() as stack:
        simulator = Simulator(options)
        try:
            await stack.enter_async_context(simulator)
        except OSError as e:  # the port is taken, or the address is not ours
            remedy = "Choose another port, or 0 for any free one."
            raise Misconfigured("--port", str(e), remedy=remedy) from e
        yield simulator


def main() -> int:
    """Run until SIGTERM or Ctrl-C; 2 when the options cannot work."""
    try:
        options = _options(_arguments())
        configure_logging(load_settings(), process="simulator")
    except Misconfigured as e:
        return exit_code(e)
    return run(lambda stop: _serve(options, stop))


if __name__ == "__main__":
    sys.exit(main())
