import shutil
from types import SimpleNamespace

import pytest

from runtime.errors import Misconfigured
from runtime.servers import folder as module
from runtime.servers.folder import ServerFolder


@pytest.fixture(autouse=True)
def _temp(tmp_path, monkeypatch):
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))


def test_a_folder_has_one_owner_at_a_time(tmp_path):
    first = ServerFolder.kept(tmp_path / "kafka", min_free_mb=1)
    with pytest.raises(Misconfigured, match="in use"):
        ServerFolder.kept(tmp_path / "kafka", min_free_mb=1)
    first.close()
    ServerFolder.kept(tmp_path / "kafka", min_free_mb=1).close()


def test_an_ephemeral_folder_goes_with_its_owner():
    folder = ServerFolder.ephemeral("kafka", min_free_mb=1)
    assert folder.path.is_dir()
    folder.close()
    assert not folder.path.exists()
    folder.close()


def test_what_a_killed_owner_left_is_cleared_and_what_is_in_use_is_not(tmp_path):
    left = tmp_path / "fibstream-kafka-left"
    left.mkdir()
    (left / ".owner").touch()
    foreign = tmp_path / "fibstream-kafka-foreign"
    foreign.mkdir()
    used = ServerFolder.ephemeral("kafka", min_free_mb=1)
    new = ServerFolder.ephemeral("kafka", min_free_mb=1)
    assert not left.exists()
    assert foreign.exists()
    assert used.path.exists()
    used.close()
    new.close()


def test_a_nearly_full_disk_is_refused_with_its_numbers(tmp_path, monkeypatch):
    usage = SimpleNamespace(free=100 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(Misconfigured, match="has 100 MB free, 512 MB are needed"):
        ServerFolder.kept(tmp_path / "kafka")
    with pytest.raises(Misconfigured, match="100 MB free") as refused:
        ServerFolder.ephemeral("kafka")
    assert refused.value.setting == "TMPDIR"
    assert list(tmp_path.glob("fibstream-*")) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured) as refused:
        ServerFolder.kept(tmp_path / "file" / "kafka")
    assert refused.value.setting == "STREAMER_DATA_DIR"
    assert str(tmp_path / "file" / "kafka") in refused.value.problem
