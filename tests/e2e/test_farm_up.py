"""`farm up` and the `farm` command as processes: started, killed, started again, stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.local.place import is_up, read_place
from tests.e2e.shots import Shot

WAIT_S = 120.0


class Commands:
    """Runs `farm` in a folder of its own, where nothing else points to a farm."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / ".farm"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FARM_", "AWS_"))}
        self.environment = {**kept, "FARM_ENGINE": "fake", "FARM_LEASE_TTL_S": "3", "FARM_HEARTBEAT_S": "1"}

    def __call__(self, *arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "farm.cli", *map(str, arguments)],
            cwd=self.folder,
            env={**self.environment, **settings},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def json(self, *arguments: object) -> Any:  # noqa: ANN401 - any JSON
        """The JSON answer of a command that must succeed."""
        ended = self(*arguments, "--json")
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    def up(self, **settings: str) -> dict[str, int]:
        """Bring the farm up; its processes."""
        ended = self("up", "--detach", "--port", "0", "--workers", "2", **settings)
        assert ended.returncode == 0, ended.stderr
        return self.children()

    def children(self) -> dict[str, int]:
        """The farm's processes by name."""
        place = read_place(self.data)
        assert place is not None
        return {**place.children, "up": place.pid}


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(tmp_path)
    yield commands
    if is_up(commands.data):
        commands("down")


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def submit(farm: Commands, shot: Shot, *more: object) -> subprocess.CompletedProcess[str]:
    mask = f"left={shot.masks['left']}"
    return farm("job", "submit", shot.clip, "--mask", mask, "--guide-size", 64, "--model", shot.model, *more)


def test_a_farm_that_was_killed_goes_on_where_it_was_even_without_its_redis_data(farm: Commands, shot: Shot) -> None:
    before = farm.up(FARM_FAKE_SECONDS="0.3")
    job = submit(farm, shot).stdout.strip()
    until(lambda: farm.json("job", "get", job)["frames"]["done"] > 0)

    os.kill(before["up"], signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in before.values()))
    shutil.rmtree(farm.data / "redis")

    after = farm.up()
    assert not set(before.values()) & set(after.values())
    ended = farm.json("job", "wait", job)
    assert (ended["status"], ended["frames"]["done"]) == ("completed", ended["frames"]["total"])
    assert farm("down").returncode == 0
    until(lambda: not any(alive(pid) for pid in after.values()))


def test_a_worker_that_dies_is_replaced_and_everything_stops_with_the_farm(farm: Commands, shot: Shot) -> None:
    first = farm.up()
    os.kill(first["worker-1"], signal.SIGKILL)
    until(lambda: farm.children().get("worker-1", first["worker-1"]) != first["worker-1"])
    ended = submit(farm, shot, "--frames", "1-2", "--wait", "--download", "out")
    assert ended.returncode == 0, ended.stderr
    assert len(list((farm.folder / "out" / "frames").iterdir())) == 2
    assert farm("up", "--detach").returncode == 69
    last = farm.children()
    os.kill(last["up"], signal.SIGTERM)
    until(lambda: not any(alive(pid) for pid in last.values()))
    assert farm("down").returncode == 65


def test_a_farm_that_is_up_has_the_embedded_model_and_nothing_for_the_doctor_to_cure(farm: Commands) -> None:
    farm.up()
    assert [(model["name"], model["has_motion"]) for model in farm.json("model", "list")] == [("demo", True)]
    until(lambda: len(farm.json("workers")) == 2)
    findings = {each["check"]: each["verdict"] for each in farm.json("doctor")}
    assert "bad" not in findings.values()
    assert findings["redis"] == findings["api"] == findings["workers"] == findings["model"] == "ok"
