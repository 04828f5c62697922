"""The ClickHouse tables as numbered SQL files; a file that was released is never edited.

A change is a new file. Every statement can be repeated, because a process may die between two.
"""

import re
from dataclasses import dataclass
from importlib.resources import files

_NAME = re.compile(r"(\d{4})_(\w+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name and its statements in order."""

    version: int
    name: str
    statements: tuple[str, ...]


def read_migrations() -> tuple[Migration, ...]:
    """Return the migrations, oldest first."""
    found = (
        Migration(int(match[1]), match[2], statements(file.read_text("utf-8")))
        for file in files(__name__).iterdir()
        if (match := _NAME.fullmatch(file.name))
    )
    return tuple(sorted(found, key=lambda migration: migration.version))


def statements(script: str) -> tuple[str, ...]:
    """Cut a script at the semicolons that end a line; whole-line comments vanish."""
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    parts = re.split(r";[ \t]*(?:\n|$)", "\n".join(lines))
    return tuple(part.strip() for part in parts if part.strip())
