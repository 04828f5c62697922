"""Finding: what one check has to say."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from runtime.errors import Misconfigured
from runtime.settings import Settings

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A fail keeps the pipeline from running; ``setting`` is what must change, if it is one."""

    name: str
    state: State
    finding: str
    remedy: str = ""
    setting: str | None = None


Check = Callable[[Settings], Awaitable[Sequence[Finding]]]


def ok(name: str, finding: str) -> list[Finding]:
    """Return the finding that all is well."""
    return [Finding(name=name, state="ok", finding=finding)]


def warn(name: str, finding: str, remedy: str) -> list[Finding]:
    """Return a finding that keeps nothing from running."""
    return [Finding(name=name, state="warn", finding=finding, remedy=remedy)]


def refused(name: str, error: Misconfigured) -> list[Finding]:
    """Return the operator's error as a finding."""
    told = f"{error.setting}: {error.problem}"
    return [
        Finding(name=name, state="fail", finding=told, remedy=error.remedy, setting=error.setting)
    ]
