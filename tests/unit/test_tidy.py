"""The house style, where a machine can tell."""

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
OURS = ("fibstream", "ingest", "processors", "runtime", "schemas", "simulator", "sinks")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
VAGUE = {"utils", "util", "common", "helper", "helpers", "manager", "managers", "misc", "core"}


def files(*folders: str) -> dict[str, str]:
    return {
        str(path.relative_to(REPOSITORY)): path.read_text()
        for folder in folders
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
    }


SOURCES = files(*OURS)
FILES = SOURCES | files("tests")
TREES = {name: ast.parse(text) for name, text in FILES.items()}


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    for name, tree in TREES.items():
        yield from ((name, node) for node in ast.walk(tree) if isinstance(node, kinds))


def test_the_files_are_found():
    assert len(SOURCES) > 100


def test_every_module_opens_by_saying_what_it_is():
    assert [name for name in SOURCES if not ast.get_docstring(TREES[name])] == []


def test_no_file_is_longer_than_a_head_can_hold():
    lines = {name: len(text.splitlines()) for name, text in FILES.items()}
    assert {name: n for name, n in lines.items() if n > FILE_LINES_MAX} == {}


def test_every_function_fits_a_screen():
    long = [
        f"{name}: {node.name}, {node.end_lineno - node.lineno + 1} lines"
        for name, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_no_file_or_class_has_a_name_that_says_nothing():
    vague = [name for name in FILES if {Path(part).stem for part in Path(name).parts} & VAGUE]
    classes = [
        f"{name}: {node.name}"
        for name, node in nodes(ast.ClassDef)
        if node.name.endswith(("Manager", "Helper", "Utils"))
    ]
    assert vague + classes == []


def test_imports_are_absolute():
    assert [name for name, node in nodes(ast.ImportFrom) if node.level] == []
