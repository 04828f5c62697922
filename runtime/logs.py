"""One log format for our records and for those of libraries.

Logs go to stderr: stdout belongs to the output of commands.
"""

import logging
import logging.handlers
import sys
from pathlib import Path
from typing import Any

import orjson
import structlog

from runtime.errors import Misconfigured
from runtime.secrets import hiding
from runtime.settings import Settings

# Set on the loggers, not on a handler: a record that nobody will read is then never built.
NOISY = ("aiokafka", "asyncio", "faust", "httpcore", "httpx", "kafka", "mode", "urllib3")
LOG_FILE_BYTES_MAX = 32 << 20
LOG_FILES_KEPT = 3


def configure_logging(settings: Settings, *, process: str) -> None:
    """Send every record of this process to stderr, and to ``settings.log_file`` if it is set."""
    level = logging.getLevelNamesMapping()[settings.log_level]
    as_json = settings.log_format == "json" or (
        settings.log_format == "auto" and not sys.stderr.isatty()
    )
    stderr = logging.StreamHandler(sys.stderr)
    stderr.setFormatter(_json(process) if as_json else _console(process))
    handlers: list[logging.Handler] = [stderr]
    if settings.log_file is not None:
        handlers.append(_log_file(settings.log_file, process))
    logging.basicConfig(handlers=handlers, level=level, force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(process),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _log_file(path: Path, process: str) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(
            path, maxBytes=LOG_FILE_BYTES_MAX, backupCount=LOG_FILES_KEPT
        )
    except OSError as e:
        raise Misconfigured(
            "STREAMER_LOG_FILE",
            f"cannot write to {path} ({e.strerror})",
            remedy="Set it to a file that this user may write to, or leave it empty.",
        ) from e
    file.setFormatter(_json(process))
    return file


def _shared(process: str) -> list[Any]:
    def add_process(_logger: Any, _method: str, event: Any) -> Any:  # a context variable would
        event["process"] = process  # not reach the records of threads
        return event

    return [
        add_process,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _json(process: str) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(process),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            hiding(structlog.processors.JSONRenderer(serializer=_dumps)),
        ],
    )


def _console(process: str) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(process),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            # Plain tracebacks: the rich ones show local variables, and with them what is secret.
            hiding(
                structlog.dev.ConsoleRenderer(
                    colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
                )
            ),
        ],
    )


def _dumps(event: Any, **_: object) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
