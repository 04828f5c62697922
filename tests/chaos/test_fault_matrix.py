"""Every fault of every venue, in one run of the real parts."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from fibstream.faults.cases import GLOBAL_CASES, SYMBOL_CASES
from ingest.exchanges import EXCHANGES

# Minutes of both cores: `make faults` shows it, `make soak` holds it.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.chaos,
    pytest.mark.soak,
    pytest.mark.timeout(420),
]

ROOT = Path(__file__).parents[2]


async def test_every_fault_of_every_venue_is_named_or_healed(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "fibstream", "faults", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"STREAMER_DATA_DIR": str(tmp_path)},
    )
    out, err = await process.communicate()
    assert out, err.decode()
    report = json.loads(out.splitlines()[-1])
    failed = [finding for finding in report["findings"] if not finding["ok"]]
    assert failed == []
    assert report["crashed"] == []
    assert process.returncode == 0
    played = {(finding["exchange"], finding["fault"]) for finding in report["findings"]}
    cases = [case.name for case in (*SYMBOL_CASES, *GLOBAL_CASES)]
    assert played == {(exchange, case) for exchange in EXCHANGES for case in cases}
