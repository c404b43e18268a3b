"""`farm task …`: what is known of single tasks."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.conftest import Run
from tests.unit.client.conftest import Running
from workers import attempt_log

QUICK = ("--guide-size", 64, "--steps", 2)


def test_the_log_of_a_failed_attempt_is_read_after_its_worker_is_gone(
    near: Run, running: Running, clip: Path, mask: Path
) -> None:
    job = near("job", "submit", clip, "--mask", mask, *QUICK).out.strip()
    for blob in list(running.blobs.list("media/blobs/")):
        running.blobs.put(blob, b"no picture any more")
    attempt_log.install()
    running.work()
    tasks = near("job", "tasks", job, "--state", "failed", "--json").json()
    failed = next(task["id"] for task in tasks if task["history"])
    said = near("task", "log", job, failed)
    assert said.code == 0, said.err
    assert "ended" in said.err
    assert "attempt_ended" in said.out
    (kept,) = near("task", "log", "last", failed, "--all", "--json").json()
    assert (kept["task"], kept["worker"]) == (failed, "one")
    assert "No log was kept" in near("task", "log", job, "wrap.0").err
    assert near("task", "log", "no-such-job", "plan.0").code == 65
