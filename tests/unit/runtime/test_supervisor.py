import pytest

from runtime.child import ChildFailed, ChildSpec
from runtime.errors import Misconfigured
from runtime.servers import kafka, redis
from runtime.settings import Settings
from runtime.shutdown import exit_code
from runtime.supervisor import Supervisor


def test_a_restarted_server_asks_for_the_address_that_the_others_know():
    settings = Settings(_env_file=None, kafka_heap_mb=300)
    broker = kafka.child(settings)
    argv = broker.argv({})
    assert argv[argv.index("--port") + 1] == "0"
    assert argv[argv.index("--heap-mb") + 1] == "300"
    again = broker.argv({"kafka": {"bootstrap": "127.0.0.1:4567"}})
    assert again[again.index("--port") + 1] == "4567"
    store = redis.child(settings, ephemeral=True).argv({"redis": {"host": "h", "port": 99}})
    assert store[store.index("--port") + 1] == "99"
    assert "--ephemeral" in store


async def test_a_child_that_waits_for_an_unknown_one_is_a_mistake_found_at_once(tmp_path):
    specs = [ChildSpec(name="a", argv=["true"], after=("nobody",))]
    with pytest.raises(ValueError, match="nobody"):
        Supervisor(specs, data_dir=tmp_path)


async def test_two_children_of_one_name_are_a_mistake_found_at_once(tmp_path):
    with pytest.raises(ValueError, match="twice"):
        Supervisor([ChildSpec(name="a", argv=["true"])] * 2, data_dir=tmp_path)


def test_exit_codes_tell_bad_configuration_from_failure(capsys):
    assert exit_code(Misconfigured("STREAMER_X", "bad", remedy="Mend it.")) == 2
    assert exit_code(ChildFailed("a", "ended", log="")) == 1
    assert exit_code(ChildFailed("a", "refused", log="", exit_code=2)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "STREAMER_X: bad\n  Mend it." in err
