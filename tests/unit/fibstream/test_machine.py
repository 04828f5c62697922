"""What `fibstream up` starts, without starting it."""

from fibstream.machine import Plan, _stages
from runtime.settings import Settings
from simulator import SimulatorOptions


def started(simulator=None, **fields) -> dict[str, list[str]]:
    settings = Settings(_env_file=None, kafka_bootstrap="127.0.0.1:1", **fields)
    facts = {"simulator": {"port": 1}} if simulator else {}
    specs = _stages(Plan(settings=settings, simulator=simulator), settings, facts)
    return {spec.name: spec.argv[3:] for spec in specs}


def test_alerts_run_beside_the_gateway_with_a_simulator_and_without():
    for simulator in (None, SimulatorOptions()):
        assert started(simulator)["alerts"] == ["alerts", "run"]
    assert "alerts" not in started(enabled_consumers=("redis",))


def test_what_a_simulated_exchange_does_wrong_is_left_to_be_seen():
    assert "recover-binance" in started()
    assert "recover-binance" not in started(SimulatorOptions())
