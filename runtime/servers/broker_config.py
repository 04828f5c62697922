"""What the embedded broker is told: its properties and its log4j2 configuration, as text."""

from collections.abc import Mapping
from pathlib import Path

NODE_ID = 1
MESSAGE_BYTES_MAX = 8 << 20
LOG_RETENTION_HOURS = 7 * 24


def server_properties(
    *, port: int, controller_port: int, log_dir: Path, doors: Mapping[int, int] | None = None
) -> str:
    """Return ``server.properties`` of one node that is broker and controller.

    The voters are static: a kept data folder may come back on other ports. ``doors`` are further
    ports, each with the one that it tells its clients: that of a proxy in front of it.
    """
    # By name: the port that is listened on, and the one that clients are told.
    told = {"PLAINTEXT": (port, port)}
    told |= {f"DOOR{i}": ports for i, ports in enumerate((doors or {}).items())}
    listeners = [f"{name}://127.0.0.1:{own}" for name, (own, _) in told.items()]
    advertised = [f"{name}://127.0.0.1:{other}" for name, (_, other) in told.items()]
    settings = {
        "process.roles": "broker,controller",
        "node.id": NODE_ID,
        "listeners": ",".join([*listeners, f"CONTROLLER://127.0.0.1:{controller_port}"]),
        "advertised.listeners": ",".join(advertised),
        "listener.security.protocol.map": ",".join(
            f"{name}:PLAINTEXT" for name in (*told, "CONTROLLER")
        ),
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"{NODE_ID}@127.0.0.1:{controller_port}",
        "log.dirs": log_dir,
        "auto.create.topics.enable": "false",
        "delete.topic.enable": "true",
        # One node: one copy of everything, and few partitions of what it keeps for itself.
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        # A restarted worker comes back within seconds, and nobody waits for a group to gather.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1_000,
        "group.max.session.timeout.ms": 300_000,
        # After a kill -9 the controller waits this long before it lets the same broker in again.
        "broker.session.timeout.ms": 3_000,
        "broker.heartbeat.interval.ms": 500,
        "message.max.bytes": MESSAGE_BYTES_MAX,
        "replica.fetch.max.bytes": MESSAGE_BYTES_MAX,
        "log.retention.hours": LOG_RETENTION_HOURS,
        # Sized for a desktop: the defaults are for a machine that does nothing else.
        "log.cleaner.dedupe.buffer.size": 16 << 20,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def log4j2_properties(log: Path) -> str:
    """Return a log4j2 configuration that keeps warnings and state changes in one bounded file."""
    return f"""\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log}
appender.file.filePattern = {log}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{ISO8601}} %p %m (%c{{1}})%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 8MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 2
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{{ISO8601}} %p %m (%c{{1}})%n%throwable{{short}}
appender.out.filter.threshold.type = ThresholdFilter
appender.out.filter.threshold.level = warn
logger.config.name = org.apache.kafka.common.config
logger.config.level = warn
logger.server_config.name = kafka.server.KafkaConfig
logger.server_config.level = warn
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
rootLogger.appenderRef.out.ref = out
"""
