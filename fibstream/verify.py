"""``fibstream verify``: is every trade in the warehouse, and up to where, symbol by symbol."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from runtime.settings import Settings
from sinks.integrity.ranges import Missing
from sinks.integrity.verifier import Outcome, Verifier
from sinks.integrity.warehouse import Market, Scope

LOOK_EVERY_S = 5.0
GAPS_SHOWN_MAX = 20  # of a table; JSON has all that were found


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is verified. ``repair`` asks for open gaps again and waits for so long at most."""

    scope: Scope
    full: bool = False
    repair: bool = False
    repair_within_s: float = 600.0


async def verify(settings: Settings, wanted: Wanted) -> dict[str, Any]:
    """Verify and return the report; raise Misconfigured or Retriable when that cannot be done."""
    async with Verifier(settings) as verifier:
        outcomes = [
            outcome
            async for outcome in verifier.verify(wanted.scope, full=wanted.full, anew=wanted.repair)
        ]
        told = sum(len(outcome.told) for outcome in outcomes)
        if wanted.repair:
            outcomes = await _repaired(verifier, outcomes, wanted.repair_within_s)
    return report(outcomes, told)


async def _repaired(
    verifier: Verifier, outcomes: Sequence[Outcome], within_s: float
) -> list[Outcome]:
    """Look again at what lacks trades until nothing does that may still come, or time is up."""
    last = {(outcome.market, outcome.verdict.symbol): outcome for outcome in outcomes}
    until_s = time.monotonic() + within_s
    while (left := _lacking(last.values())) and time.monotonic() < until_s:
        await asyncio.sleep(min(LOOK_EVERY_S, max(0.0, until_s - time.monotonic())))
        for market, symbols in left.items():
            async for outcome in verifier.verify(Scope(*market, tuple(sorted(symbols)))):
                last[outcome.market, outcome.verdict.symbol] = outcome
    return list(last.values())


def _lacking(outcomes: Iterable[Outcome]) -> dict[Market, set[str]]:
    found: dict[Market, set[str]] = {}
    for outcome in outcomes:
        if outcome.verdict.missing:
            found.setdefault(outcome.market, set()).add(outcome.verdict.symbol)
    return found


def report(outcomes: Sequence[Outcome], told: int) -> dict[str, Any]:
    """Return what was found as JSON has it."""
    rows = [_row(outcome) for outcome in outcomes]
    names = ("count", "duplicates", "gaps_count", "unrecoverable")
    sums = {name: sum(row[name] for row in rows) for name in names}
    return {
        "ok": sums["gaps_count"] == sums["unrecoverable"],
        "symbols": len(rows),
        **sums,
        "told": told,
        "rows": rows,
    }


def _row(outcome: Outcome) -> dict[str, Any]:
    verdict = outcome.verdict
    trust = verdict.trust
    return {
        **outcome.market._asdict(),
        "symbol": verdict.symbol,
        "ids": verdict.rule,
        "quality": verdict.quality,
        "first_id": verdict.first_id,
        "last_id": verdict.last_id,
        "count": verdict.count,
        "duplicates": verdict.duplicates,
        "gaps_count": verdict.gaps_count,
        "unrecoverable": verdict.unrecoverable,
        "trusted_id": trust.last_id if trust else None,
        "trusted_to_ms": trust.to_ms if trust else None,
        "gaps": [gap._asdict() for gap in verdict.missing],
        "given_up": _given_up(outcome),
    }


def _given_up(outcome: Outcome) -> list[dict[str, int]]:
    """Return the ranges that nobody has; none where all of them came after all."""
    if not outcome.verdict.unrecoverable:
        return []
    ranges = sorted({(one.first_id, one.last_id) for one in outcome.given_up})
    return [{"first_id": first, "last_id": last} for first, last in ranges]


def table(found: dict[str, Any]) -> RenderableType:
    """Return the report to look at."""
    symbols = Table(title="Trades in the warehouse")
    for name in ("symbol", "quality", "trusted until"):
        symbols.add_column(name)
    for name in ("trades", "duplicates", "missing", "given up"):
        symbols.add_column(name, justify="right")
    gaps = Table("symbol", "first id", "last id", "from", "to", title="Missing")
    for row in found["rows"]:
        name = f"{row['exchange']} {row['channel']} {row['symbol']}"
        numbers = (row[key] for key in ("count", "duplicates", "gaps_count", "unrecoverable"))
        until = _time(row["trusted_to_ms"]) if row["trusted_to_ms"] else "-"
        symbols.add_row(name, row["quality"], until, *(f"{number:,}" for number in numbers))
        for gap in row["gaps"][: max(0, GAPS_SHOWN_MAX - gaps.row_count)]:
            gaps.add_row(name, *_cells(Missing(**gap)))
    return Group(symbols, gaps) if gaps.row_count else symbols


def _cells(gap: Missing) -> tuple[str, ...]:
    return str(gap.first_id), str(gap.last_id), _time(gap.from_ms), _time(gap.to_ms)


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
