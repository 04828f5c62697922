"""The ClickHouse sink, dead by kill -9 between an insert and its commit.

``python -m tests.support.crashing_sink COMMITS FILE``: that many commits come through before. The
records of every batch that was inserted are told in the file, a line each: partition and offset.
"""

import os
import signal
import sys
from pathlib import Path

from runtime import shutdown
from runtime.logs import configure_logging
from runtime.settings import load_settings
from sinks import app
from sinks.base import Batch
from sinks.kafka_log import KafkaLog


def main(commits: int, inserted: Path) -> int:
    settings = load_settings()
    configure_logging(settings, process="clickhouse")
    commit, left = KafkaLog.commit, commits

    async def commit_or_die(self: KafkaLog, batch: Batch) -> None:
        nonlocal left
        with inserted.open("a") as file:
            file.writelines(f"{record.partition} {record.offset}\n" for record in batch.records)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        await commit(self, batch)

    KafkaLog.commit = commit_or_die
    return shutdown.run(lambda stop: app.run("clickhouse", settings, stop))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
