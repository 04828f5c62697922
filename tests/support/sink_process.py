"""Run one sink as a process: ``python -m tests.support.sink_process NAME``; settings from env."""

import sys

from runtime import shutdown
from runtime.logs import configure_logging
from runtime.settings import load_settings
from sinks import app


def main(name: str) -> int:
    settings = load_settings()
    configure_logging(settings, process=name)
    return shutdown.run(lambda stop: app.run(name, settings, stop))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
