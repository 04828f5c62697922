"""docker-compose.kafka.yml and .env.example say what the program understands."""

import copy
import importlib.util
import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from ingest.exchanges import EXCHANGES
from ingest.plan import Share, enabled, kinds
from runtime.env_example import env_example
from runtime.settings import Settings
from schemas.streams import KINDS

REPOSITORY = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.kafka.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def commands() -> set[str]:
    import typer

    from fibstream.cli import app

    return set(typer.main.get_command(app).commands)


def settings_of(service: dict) -> dict[str, str]:
    default = re.compile(r"\$\{\w+:-([^}]*)\}")
    return {
        name: default.sub(r"\1", value)
        for name, value in service["environment"].items()
        if name.startswith("STREAMER_")
    }


def specification() -> dict:
    carrier = importlib.util.find_spec("check_jsonschema")
    if carrier is None:
        pytest.skip("the package check-jsonschema, which carries the specification, is missing")
    file = Path(carrier.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    return json.loads(file.read_text())


def test_the_file_obeys_the_compose_specification():
    jsonschema.validate(COMPOSE, specification())


@pytest.mark.parametrize(
    ("service", "broken"),
    [
        ("worker", {"imagee": "x"}),
        ("worker", {"deploy": {"replicas": []}}),
        ("kafka", {"ports": 1}),
    ],
)
def test_the_specification_would_notice(service, broken):
    wrong = copy.deepcopy(COMPOSE)
    wrong["services"][service].update(broken)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, specification())


def test_every_part_of_the_system_is_there():
    theirs = {"kafka", "clickhouse", "redis", "prometheus", "grafana", "traefik"}
    assert set(SERVICES) - set(OURS) == theirs
    assert {tuple(service["command"][1:]) for service in OURS.values()} == {
        ("topics",),
        ("ingest",),
        ("process",),
        ("recompute",),
        ("recover",),
        ("gateway",),
        ("integrity",),
        ("alerts", "run"),
        ("sink", "clickhouse"),
        ("sink", "redis"),
    }
    assert SERVICES["worker"]["deploy"]["replicas"] > 1


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_runs_a_command_that_exists(name):
    program, command, *_ = OURS[name]["command"]
    assert program == "fibstream"
    assert command in commands()


@pytest.mark.parametrize("name", OURS)
def test_every_streamer_variable_is_a_setting_with_a_good_value(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # no .env of the developer
    given = settings_of(OURS[name])
    fields = {f"STREAMER_{field.upper()}" for field in Settings.model_fields}
    assert set(given) <= fields
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    settings = Settings()
    assert settings.kafka_bootstrap == "kafka:9092"
    assert settings.metrics_port == 9_100


def ingestors(monkeypatch) -> dict[str, Settings]:
    """Return the settings of each ingestor as its container has them."""
    found = {}
    for name, service in OURS.items():
        if service["command"][1] != "ingest":
            continue
        with monkeypatch.context() as patch:
            for variable, value in settings_of(service).items():
                patch.setenv(variable, value)
            found[name] = Settings(_env_file=None)
    return found


def test_every_exchange_is_streamed_and_its_shares_are_whole(monkeypatch):
    shares: dict[str, list[str]] = {}
    for settings in ingestors(monkeypatch).values():
        shares.setdefault(settings.exchange, []).append(settings.exchange_share)
    assert set(shares) == set(EXCHANGES)
    for found in shares.values():
        assert sorted(found) == [f"{i}/{len(found)}" for i in range(1, len(found) + 1)]


def test_every_ingestor_has_a_symbol_that_its_exchange_could_name(monkeypatch):
    for name, settings in ingestors(monkeypatch).items():
        exchange = EXCHANGES[settings.exchange]
        markets = enabled(settings, exchange)
        assert {m.channel for m in markets} == set(exchange.markets), name
        assert kinds(settings) == KINDS
        share = Share(settings, exchange)
        forms = [re.compile(market.symbol_form) for market in markets]
        for symbol in settings.exchange_symbols:
            assert any(form.fullmatch(symbol) for form in forms), symbol
        for market, form in zip(markets, forms, strict=True):
            mine = [s for s in settings.exchange_symbols if form.fullmatch(s)]
            assert any(share(market.channel, symbol) for symbol in mine), name


def test_ingestors_share_one_budget_and_wait_for_no_redis(monkeypatch):
    found = ingestors(monkeypatch)
    assert (
        len({(s.redis_host, s.redis_port, s.redis_base, s.redis_main_key) for s in found.values()})
        == 1
    )
    assert all(settings.redis_host in SERVICES for settings in found.values())
    for name in found:
        assert "redis" not in SERVICES[name]["depends_on"]
        assert set(SERVICES[name]["profiles"]) <= set(SERVICES["redis"]["profiles"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_restarts_is_checked_and_has_what_it_waits_for(name):
    service = SERVICES[name]
    once = name == "topics"
    assert service["restart"] == ("on-failure:5" if once else "unless-stopped")
    assert ("test" in service["healthcheck"]) is not once
    for needed, condition in service.get("depends_on", {}).items():
        # A profile that starts the one must start the other.
        assert set(service["profiles"]) <= set(SERVICES[needed]["profiles"])
        done = "service_completed_successfully" if needed == "topics" else "service_healthy"
        assert condition["condition"] == done
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("./"):
            assert (REPOSITORY / source).exists()
        else:
            assert source in COMPOSE["volumes"]
    for port in service.get("ports", []):
        assert name == "traefik" or port.startswith("127.0.0.1:")


def test_prometheus_asks_every_running_service_of_ours():
    config = yaml.safe_load((REPOSITORY / "deploy" / "prometheus.yml").read_text())
    asked = {job["dns_sd_configs"][0]["names"][0] for job in config["scrape_configs"]}
    assert asked == set(OURS) - {"topics"}


def test_the_edge_lets_nobody_change_anything():
    routes = yaml.safe_load((REPOSITORY / "deploy" / "traefik-routes.yml").read_text())
    for router in routes["http"]["routers"].values():
        assert router["rule"].endswith("&& (Method(`GET`) || Method(`HEAD`))")


def test_grafana_finds_its_source_and_its_dashboard():
    grafana = REPOSITORY / "deploy" / "grafana"
    source = yaml.safe_load((grafana / "provisioning/datasources/prometheus.yml").read_text())
    dashboard = json.loads((grafana / "dashboards/fibstream.json").read_text())
    uids = {panel["datasource"]["uid"] for panel in dashboard["panels"]}
    assert uids == {source["datasources"][0]["uid"]}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_dashboard_asks_for_metrics_that_exist_by_labels_that_they_have():
    dashboard = json.loads((REPOSITORY / "deploy/grafana/dashboards/fibstream.json").read_text())
    declared = "".join(
        path.read_text()
        for package in ("ingest", "processors", "runtime", "sinks")
        for path in (REPOSITORY / package).rglob("*.py")
    )
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for expression in asked:
        # rate() drops the name, so series of several metrics could not be told apart.
        assert "__name__" not in expression
        for name in re.findall(r"fibstream_\w+", expression):
            assert re.search(rf'"{name.removesuffix("_total")}(_total)?"', declared), name
        for labels in re.findall(r"by \(([^)]*)\)", expression):
            for label in labels.split(", "):
                assert label == "job" or f'"{label}"' in declared


def test_the_image_holds_every_package():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    dockerfile = (REPOSITORY / "deploy" / "Dockerfile").read_text()
    ignored = (REPOSITORY / "deploy" / "Dockerfile.dockerignore").read_text()
    for package in packages:
        assert f"COPY {package} {package}\n" in dockerfile
        assert f"!{package}\n" in ignored


def test_env_example_lists_every_setting_with_its_description():
    written = (REPOSITORY / ".env.example").read_text()
    assert written == env_example(), "run: python -m runtime.env_example > .env.example"
    for name, field in Settings.model_fields.items():
        assert f"\nSTREAMER_{name.upper()}=\n" in written
        assert (field.description or "") in written


def test_a_copied_env_example_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(env_example())
    assert Settings() == Settings(_env_file=None)
