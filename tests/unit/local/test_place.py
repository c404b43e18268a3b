"""How other commands find a farm of this machine."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from farm.errors import Conflict, NotFound
from farm.local.devices import Share, visible_gpus, worker_devices
from farm.local.place import Place, is_up, locked, missing_variables, read_place, stop_farm

PLACE = Place(
    url="http://127.0.0.1:8750",
    pid=1,
    environment={
        "FARM_URL": "http://127.0.0.1:8750",
        "FARM_REDIS_URL": "redis://:pw@127.0.0.1:1/0",
        "FARM_S3_ENDPOINT": "http://127.0.0.1:2",
        "FARM_S3_BUCKET": "farm",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
    },
)


def test_only_the_owner_may_read_where_a_farm_is(tmp_path: Path) -> None:
    file = PLACE.write(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_place(tmp_path) == PLACE
    assert [path.name for path in tmp_path.iterdir()] == ["farm.json"]


def test_no_farm_and_a_broken_file_are_the_same(tmp_path: Path) -> None:
    assert read_place(tmp_path) is None
    (tmp_path / "farm.json").write_text("{")
    assert read_place(tmp_path) is None


def test_the_environment_wins_over_the_farm_of_the_folder() -> None:
    assert missing_variables(PLACE, {}) == PLACE.environment
    assert "FARM_URL" not in missing_variables(PLACE, {"FARM_URL": "http://elsewhere"})


@pytest.mark.parametrize("name", ["FARM_STORE", "FARM_S3_BUCKET", "FARM_S3_ENDPOINT"])
def test_keys_of_the_embedded_store_are_not_given_to_another(name: str) -> None:
    assert set(missing_variables(PLACE, {name: "x"})) == {"FARM_URL", "FARM_REDIS_URL"}


def test_a_folder_has_one_farm_at_a_time(tmp_path: Path) -> None:
    assert not is_up(tmp_path)
    lock = locked(tmp_path)
    try:
        assert is_up(tmp_path)
        with pytest.raises(Conflict, match="farm down"):
            locked(tmp_path)
    finally:
        os.close(lock)
    assert not is_up(tmp_path)


def test_stopping_a_farm_that_does_not_run_says_so_and_ends_nobody(tmp_path: Path) -> None:
    PLACE.write(tmp_path)
    with pytest.raises(NotFound, match="No farm runs"):
        stop_farm(tmp_path, 1)


def test_without_a_gpu_every_worker_serves_everything() -> None:
    assert worker_devices(2, "", on_cpu=True) == [Share("cpu,gpu")] * 2
    assert 1 <= len(worker_devices(None, "", on_cpu=True)) <= 4


def test_each_gpu_has_a_worker_of_its_own_beside_those_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert worker_devices(1, "", on_cpu=False) == [
        Share("gpu", {"CUDA_VISIBLE_DEVICES": "2"}),
        Share("gpu", {"CUDA_VISIBLE_DEVICES": "3"}),
        Share("cpu"),
    ]


def test_queues_that_are_named_are_those_of_all_workers() -> None:
    assert worker_devices(2, "gpu.24", on_cpu=False) == [Share("gpu.24")] * 2


def test_gpus_are_counted_by_their_device_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert visible_gpus(tmp_path) == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus(tmp_path) == []
