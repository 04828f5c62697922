"""The text of ``.env.example``, made from the settings: ``python -m runtime.env_example``.

Every value is left empty, which means "the default"; so a copy of the file changes nothing.
"""

import sys
from pathlib import Path

from runtime.settings import Settings

HEADING = """\
# Every setting of every process. Copy this file to .env and fill in what should differ:
# an empty value means the default. The environment wins over .env.
"""


def env_example() -> str:
    """Return one commented line for each setting, in the order of their definition."""
    lines = [HEADING]
    for name, field in Settings.model_fields.items():
        about = f"{field.description} " if field.description else ""
        lines.append(f"# {about}Default: {_written(field.default)}")
        lines.append(f"STREAMER_{name.upper()}=")
        lines.append("")
    return "\n".join(lines)


def _written(value: object) -> str:
    if value is None or value == "":
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value.as_posix() if isinstance(value, Path) else value)


if __name__ == "__main__":
    sys.stdout.write(env_example())
