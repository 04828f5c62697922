"""``fibstream doctor``: every setting and dependency checked at once, and what to do about each.

Exit code 0: nothing fails, 1: something does not work, 2: a setting must change.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fibstream.doctor import configuration, machine, services
from fibstream.doctor.finding import Check, Finding, refused
from runtime.errors import Misconfigured
from runtime.settings import Settings
from runtime.shutdown import EXIT_MISCONFIGURED

CHECK_WITHIN_S = 15.0
CHECKS: tuple[Check, ...] = (
    machine.python,
    configuration.settings,
    configuration.streams,
    configuration.unknown_variables,
    machine.data_folder,
    machine.open_files,
    machine.ports,
    machine.java,
    machine.kafka_jars,
    services.kafka,
    machine.embedded_redis,
    services.redis,
    machine.embedded_clickhouse,
    services.clickhouse,
    services.exchange,
    machine.browser,
)
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def diagnose() -> list[Finding]:
    """Read the settings and examine everything."""
    logging.disable()  # the findings say it all
    settings, bad = configuration.read_settings()
    return [*_masked(bad, settings), *examine(CHECKS, settings)]


def examine(checks: Sequence[Check], settings: Settings) -> list[Finding]:
    """Run the checks side by side and return their findings in order; secrets are masked."""
    return _masked(asyncio.run(_all(settings, checks)), settings)


def exit_code(findings: Iterable[Finding]) -> int:
    """Return the exit code for the findings."""
    failed = [finding for finding in findings if finding.state == "fail"]
    if any(finding.setting for finding in failed):
        return EXIT_MISCONFIGURED
    return 1 if failed else 0


def report(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings for ``--json``."""
    return {"ok": exit_code(findings) == 0, "checks": [asdict(finding) for finding in findings]}


def show(findings: Iterable[Finding], console: Console) -> None:
    """Print the findings as a table."""
    table = Table("check", "state")
    for title in ("finding", "what to do"):
        table.add_column(title, overflow="fold")  # a long path is of no use with its end cut off
    for f in findings:
        # Text: a finding quotes what others wrote, which may look like markup.
        table.add_row(f.name, Text(f.state, STYLES[f.state]), Text(f.finding), Text(f.remedy))
    console.print(table)


async def _all(settings: Settings, checks: Sequence[Check]) -> list[Finding]:
    found = await asyncio.gather(*(_one(settings, check) for check in checks))
    return [finding for findings in found for finding in findings]


async def _one(settings: Settings, check: Check) -> Sequence[Finding]:
    name = check.__name__.replace("_", " ")
    try:
        async with asyncio.timeout(CHECK_WITHIN_S):
            return await check(settings)
    except Misconfigured as e:
        return refused(name, e)
    except TimeoutError:
        told = f"no answer within {CHECK_WITHIN_S:g} s"
        return [Finding(name=name, state="fail", finding=told, remedy="Try again.")]


def _masked(findings: Iterable[Finding], settings: Settings) -> list[Finding]:
    secrets = _secrets(settings)

    def masked(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

    return [replace(f, finding=masked(f.finding), remedy=masked(f.remedy)) for f in findings]


def _secrets(settings: Settings) -> list[str]:
    url = settings.clickhouse_url
    try:
        password = urlsplit(url).password or ""
    except ValueError:
        password = url  # not a URL: all of it may be one
    # The longest first: one may be a part of another.
    return sorted({settings.redis_password, password, unquote(password)} - {""}, key=len)[::-1]
