"""Several workers side by side: who they are and what each is given."""

from pathlib import Path

from fibstream.workers import worker_children
from runtime.settings import Settings


def test_one_worker_is_a_stage_like_any_other() -> None:
    (child,) = worker_children(Settings(process_workers=1, data_dir=Path("d")))
    assert child.name == "process"
    assert child.env["STREAMER_DATA_DIR"] == "d"


def test_each_worker_has_a_folder_and_a_port_of_its_own_and_no_children() -> None:
    settings = Settings(process_workers=3, data_dir=Path("d"), metrics_port=9_000)
    children = worker_children(settings)
    assert [child.name for child in children] == ["process-1", "process-2", "process-3"]
    assert [child.env["STREAMER_DATA_DIR"] for child in children] == [
        "d/worker-1",
        "d/worker-2",
        "d/worker-3",
    ]
    assert [child.env["STREAMER_METRICS_PORT"] for child in children] == ["9001", "9002", "9003"]
    assert {child.env["STREAMER_PROCESS_WORKERS"] for child in children} == {"1"}
    assert {child.after for child in children} == {()}


def test_any_free_port_stays_any_free_port() -> None:
    children = worker_children(Settings(process_workers=2, metrics_port=0))
    assert {child.env["STREAMER_METRICS_PORT"] for child in children} == {"0"}
