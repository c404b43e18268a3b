"""Models on a worker's disk: a limit, and what it must not touch."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.model_disk import LEFT_OVER_S, TASKS_HELD, ModelDisk
from farm.adapters.model_folder import upload

SIZE = 1000
"""Bytes of a model, about."""


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def models(blobs: MemoryBlobs, tmp_path: Path) -> list[str]:
    """Hashes of five models."""
    found = []
    for number in range(5):
        folder = tmp_path / f"model-{number}"
        folder.mkdir()
        (folder / "model_index.json").write_text("{}")
        (folder / "weights.txt").write_text(str(number) * SIZE)
        found.append(upload(folder, blobs).hash)
    return found


def kept(folder: Path) -> set[str]:
    """What lies in a cache."""
    return {path.name for path in folder.iterdir()}


def use(disk: ModelDisk, model: str, at: float) -> None:
    """Ask for a model in a task of its own, and let it be used at a time."""
    disk.next_task()
    os.utime(disk.get(model), (at, at))


def done(disk: ModelDisk) -> None:
    """Let so many tasks begin that nothing is in use any more."""
    for _ in range(TASKS_HELD):
        disk.next_task()


def test_the_least_recently_used_model_makes_room(blobs: MemoryBlobs, models: list[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    disk = ModelDisk(cache, blobs, 3 * SIZE + 500)
    for at, model in enumerate(models[:3]):
        use(disk, model, 1000 + at)
    use(disk, models[0], 2000)
    done(disk)
    disk.get(models[3])
    assert kept(cache) == {models[0], models[2], models[3]}


def test_a_model_in_use_is_never_dropped(blobs: MemoryBlobs, models: list[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    disk = ModelDisk(cache, blobs, SIZE)
    held = disk.get(models[0])
    disk.next_task()
    disk.get(models[1])
    assert kept(cache) == {models[0], models[1]}
    done(disk)
    assert ModelDisk(cache, blobs, SIZE).get(models[2]).is_dir()
    assert not held.exists()


def test_a_model_that_another_process_uses_is_never_dropped(
    blobs: MemoryBlobs, models: list[str], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    use(disk := ModelDisk(cache, blobs, SIZE), models[0], 1000)
    done(disk)
    script = (
        "import sys\nfrom pathlib import Path\nfrom farm.adapters.memory_blobs import MemoryBlobs\n"
        "from farm.adapters.model_disk import ModelDisk\n"
        f"d = ModelDisk(Path({str(cache)!r}), MemoryBlobs())\nd.get({models[0]!r})\nprint('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        disk.get(models[1])
        assert kept(cache) == {models[0], models[1]}
        other.communicate("")
    done(disk)
    disk.get(models[2])
    assert kept(cache) == {models[2]}


def test_without_a_limit_everything_is_kept(blobs: MemoryBlobs, models: list[str], tmp_path: Path) -> None:
    disk = ModelDisk(tmp_path / "cache", blobs)
    for model in models:
        disk.next_task()
        disk.get(model)
    assert kept(tmp_path / "cache") == set(models)


def test_what_a_killed_worker_left_behind_is_removed(blobs: MemoryBlobs, models: list[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for name, age in ((".old", 2 * LEFT_OVER_S), (".new", 0)):
        (cache / name).mkdir(parents=True)
        os.utime(cache / name, (time.time() - age,) * 2)
    ModelDisk(cache, blobs, 10 * SIZE).get(models[0])
    assert kept(cache) == {models[0], ".new"}
