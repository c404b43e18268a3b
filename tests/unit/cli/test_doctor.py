"""What the doctor looks at, and what it says to do."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from farm.adapters.file_blobs import FileBlobs
from farm.adapters.servers import EmbeddedS3
from farm.cli import checks, checks_servers
from farm.cli.checks import CHECKS, gpu
from farm.cli.checks_farm import check_api, check_workers
from farm.cli.checks_servers import _clock, _memory, _persistence, check_redis, check_store
from farm.cli.doctor import NAMES
from farm.cli.findings import Finding, Verdict
from farm.errors import Unavailable
from farm.ports import Drain, WorkerStatus
from farm.settings import Settings
from tests.unit.client.conftest import KEY, Running


def verdicts(findings: Iterator[Finding]) -> dict[str, Verdict]:
    found = list(findings)
    assert all(each.cure for each in found if each.verdict is not Verdict.OK), "each says what to do"
    return {each.check: each.verdict for each in found}


def test_every_name_has_its_check() -> None:
    assert tuple(CHECKS) == NAMES


@pytest.mark.servers
def test_a_redis_as_the_farm_starts_it_is_well(redis_url: str) -> None:
    found = verdicts(check_redis(Settings.read(redis_url=redis_url)))
    assert set(found) == {"redis", "redis.persistence", "redis.memory"}
    assert found["redis.memory"] is Verdict.OK


@pytest.mark.servers
def test_a_password_that_is_wrong_is_told_and_never_shown(redis_url: str) -> None:
    host = redis_url.removeprefix("redis://").rpartition("@")[2]
    (finding,) = list(check_redis(Settings.read(redis_url=f"redis://:not-it@{host}")))
    assert finding.verdict is Verdict.BAD
    assert "refuses the password" in finding.found
    assert "not-it" not in finding.found


@pytest.mark.parametrize(
    ("about", "verdict"),
    [
        ({"used_memory": 10}, Verdict.OK),
        ({"used_memory": 10, "maxmemory": 100}, Verdict.OK),
        ({"used_memory": 90, "maxmemory": 100}, Verdict.NOTE),
        ({"used_memory": 1, "maxmemory_policy": "allkeys-lru"}, Verdict.BAD),
    ],
)
def test_a_redis_that_evicts_or_is_nearly_full_is_told(about: dict[str, object], verdict: Verdict) -> None:
    assert _memory(about).verdict is verdict


@pytest.mark.parametrize(
    ("about", "verdict"),
    [
        ({"aof_enabled": 1, "aof_last_write_status": "ok"}, Verdict.OK),
        ({"aof_enabled": 0}, Verdict.NOTE),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, Verdict.BAD),
    ],
)
def test_a_redis_that_does_not_keep_its_data_is_told(about: dict[str, object], verdict: Verdict) -> None:
    assert _persistence(about).verdict is verdict


@pytest.mark.servers
def test_a_store_takes_small_and_large_objects_and_gives_links(
    s3_server: EmbeddedS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    found = verdicts(check_store(Settings.read(s3_prefix="doctor-test")))
    assert found.pop("store") is not Verdict.BAD, "a machine at work may be slow"
    assert found == dict.fromkeys(("store.parts", "store.links", "store.clock"), Verdict.OK)


def test_a_store_that_refuses_large_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise Unavailable("parts are not allowed")

    monkeypatch.setattr(checks_servers, "PART_BYTES", 1000)
    settings = Settings.read(store=f"file://{tmp_path}/store")
    assert verdicts(check_store(settings))["store.parts"] is Verdict.OK
    monkeypatch.setattr(FileBlobs, "put_file", refused)
    assert verdicts(check_store(settings))["store.parts"] is Verdict.BAD
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_a_clock_that_is_off_is_told() -> None:
    now = time.time()
    assert verdicts(_clock(formatdate(now), now)) == {"store.clock": Verdict.OK}
    assert verdicts(_clock(formatdate(now - 600), now)) == {"store.clock": Verdict.BAD}
    assert verdicts(_clock("", now)) == {}


def settings_of(running: Running, **more: object) -> Settings:
    return Settings.read(url=running.url, api_key=KEY.partition(":")[2], engine="fake", **more)


def test_workers_that_are_unlike_drain_or_are_missing_are_told(running: Running) -> None:
    ledger = running.farm.ledger

    def beat(name: str, queues: tuple[str, ...], **info: object) -> None:
        ledger.beat(WorkerStatus(name, "host", 1, queues, "cpu", seen=0, info=info), 60)

    settings = settings_of(running)
    assert verdicts(check_workers(settings)) == {"workers": Verdict.NOTE}
    beat("w1", ("cpu", "gpu.0"), version="1.0")
    assert verdicts(check_workers(settings)) == {"workers": Verdict.OK, "workers.version": Verdict.OK}
    beat("w2", ("gpu.0",), version="0.9", engine_version="another/1")
    ledger.drain("w1", Drain("ann"))
    assert verdicts(check_workers(settings)) == {
        "workers": Verdict.NOTE,
        "workers.engine": Verdict.NOTE,
        "workers.version": Verdict.NOTE,
        "workers.draining": Verdict.NOTE,
    }


def test_the_apis_version_is_compared(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(running)
    assert verdicts(check_api(settings)) == {"api": Verdict.OK, "api.version": Verdict.OK}
    monkeypatch.setattr("farm.cli.checks_farm.metadata.version", lambda _: "99")
    assert verdicts(check_api(settings))["api.version"] is Verdict.NOTE


def program(path: Path, text: str) -> Path:
    """A program of that name that says something."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_driver_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.read(device="cuda")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert verdicts(checks.check_gpu(settings)) == {"gpu": Verdict.BAD}
    assert verdicts(checks.check_gpu(Settings.read())) == {"gpu": Verdict.OK}
    program(
        tmp_path / "nvidia-smi", "echo 'NVIDIA X, 550.1, 100, 24000, 40, 0'; echo 'NVIDIA X, 550.1, 0, 24000, 41, 7'"
    )
    assert verdicts(checks.check_gpu(settings)) == {"gpu.0": Verdict.OK, "gpu.1": Verdict.BAD}
    program(tmp_path / "nvidia-smi", "echo 'no driver'; exit 9")
    assert verdicts(checks.check_gpu(settings)) == {"gpu": Verdict.BAD}


def test_what_a_gpu_does_not_tell_is_no_fault() -> None:
    assert gpu(0, "GeForce, 550.1, 100, 24000, 40, [N/A]").verdict is Verdict.OK


def test_videos_are_tried_and_disks_looked_at_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.read(data_dir=tmp_path)
    assert verdicts(checks.check_video(settings)) == {"video": Verdict.OK}
    assert set(verdicts(checks.check_disk(settings))) == {"disk"}
    monkeypatch.setattr(checks, "LEAST_FREE_BYTES", 1 << 62)
    assert verdicts(checks.check_disk(settings)) == {"disk": Verdict.BAD}
    monkeypatch.setattr(checks, "DECODERS", ("h264", "no-such-thing"))
    assert verdicts(checks.check_video(settings)) == {"video": Verdict.NOTE}
    assert os.environ.get("FARM_DATA_DIR") is None
