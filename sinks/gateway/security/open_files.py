"""How many files, and so sockets, the process may open: as many as its own limits will need."""

import resource

import structlog

logger = structlog.get_logger(__name__)

RESERVED = 1_000  # of Kafka, the warehouse, files that are served, logs


def allow_open_files(connections_max: int) -> None:
    """Raise the process's limit as far as the machine allows; say so where that is too little."""
    wanted = connections_max + RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        logger.warning("open_files_few", allowed=allowed, wanted=wanted, remedy="ulimit -Hn")
