"""Which SQL the endpoint lets through: reading of tables, and nothing that reaches the host.

The engine's own parser writes the statement anew before anything is checked, and only that text is
run: comments, escapes and odd quoting cannot hide a word from the check. Writes are refused a
second time by the session (``readonly = 1``).
"""

import re
from dataclasses import dataclass

STATEMENTS = {"SELECT", "WITH", "SHOW", "DESCRIBE", "EXISTS", "EXPLAIN"}

# Of the table functions only these: all others open files, sockets or processes.
TABLE_FUNCTIONS = {
    *("numbers", "numbers_mt", "zeros", "zeros_mt", "primes", "generateseries", "generate_series"),
    *("generaterandom", "values", "view", "null", "merge", "loop"),
    *("format", "input"),  # also plain functions and column names; the session refuses the former
}
# Words refused wherever they stand: `APPLY file` and `arrayMap(file, ...)` call without brackets.
WORDS = {
    *("file", "catboostevaluate", "showcertificate", "logtrace", "getclienthttpheader"),
    *("filesystemavailable", "filesystemcapacity", "filesystemunreserved"),
    *("addresstoline", "addresstolinewithinlines", "addresstosymbol"),
    *("stack_trace", "jemalloc_profile_text"),  # system tables that stop or profile every thread
}
# Functions that ask a model somewhere on the network.
_AI = re.compile(r"ai(classify|embed|extract|filter|generate|redact|similarity|translate)\w*")

_TOKEN = re.compile(
    r"""
    '(?:[^'\\]|\\.|'')*'            # text
  | `(?P<quoted>(?:[^`\\]|\\.)*)`
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<other>\S)
    """,
    re.VERBOSE | re.DOTALL,
)
_FORMAT = re.compile(r"\bFORMAT (\w+)")


class Refusal(ValueError):  # noqa: N818 - reads as the claim it makes
    """A statement that the endpoint does not run."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A checked statement in the engine's own words; ``output_format`` None: not named."""

    text: str
    output_format: str | None


def text_literal(value: str) -> str:
    """Return a value as SQL text."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def checked(canonical: str, table_functions: set[str], parameters: dict[str, str]) -> Statement:
    """Check a statement that the engine has formatted; raise Refusal.

    ``table_functions`` are the names that the engine knows, in lower case.
    """
    first = canonical.partition(" ")[0]
    if first not in STATEMENTS:
        raise Refusal(f"{first} is not among {', '.join(sorted(STATEMENTS))}")
    closed = table_functions - TABLE_FUNCTIONS
    tokens = list(_TOKEN.finditer(canonical))
    visible = []
    for i, token in enumerate(tokens):
        name = token["quoted"] if token["quoted"] is not None else token["word"]
        if name is None:
            visible.append(token["other"] or "''")
            continue
        visible.append(token["word"] or "``")
        called = i + 1 < len(tokens) and tokens[i + 1]["other"] == "("
        _check_name(name, called=called, closed=closed)
    plain = " ".join(visible)
    if "INTO OUTFILE" in plain:
        raise Refusal("INTO OUTFILE writes on the host")
    if ": Identifier }" in plain:
        for value in parameters.values():
            if not re.fullmatch(r"[A-Za-z0-9_.]*", value):
                raise Refusal("an identifier parameter takes letters, digits, _ and .")
            for part in value.split("."):
                _check_name(part, called=True, closed=closed)
    formats = _FORMAT.findall(plain)
    return Statement(canonical, formats[-1] if formats else None)


def _check_name(name: str, *, called: bool, closed: set[str]) -> None:
    lower = name.lower()
    if lower in WORDS or _AI.fullmatch(lower) or "/" in name or "\\" in name:
        raise Refusal(f"{name} is refused: it may reach the host")
    if called and lower in closed:
        raise Refusal(f"{name}() is refused: it may reach the host")
