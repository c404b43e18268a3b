"""`farm worker …`: asking a worker to end."""

from __future__ import annotations

from farm.ports import WorkerStatus
from tests.unit.cli.conftest import Run
from tests.unit.client.conftest import Running


def test_a_worker_is_asked_to_end_and_to_go_on(near: Run, running: Running) -> None:
    running.farm.ledger.beat(WorkerStatus("w/1 x", "host", 1, ("cpu",), "cpu", seen=0), 60)
    asked = near("worker", "drain", "w/1 x", "--reason", "a new driver", "--grace", 30)
    assert asked.code == 0, asked.err
    assert "draining" in asked.out
    assert "nothing to finish" in asked.err
    (worker,) = near("workers", "--json").json()
    assert (worker["drain"]["reason"], worker["drain"]["grace_s"]) == ("a new driver", 30)
    assert "draining" in near("workers").out
    back = near("worker", "undrain", "w/1 x", "--json").json()
    assert (back["draining"], back["drain"]) == (False, None)


def test_a_worker_that_is_not_there_is_named(near: Run) -> None:
    said = near("worker", "drain", "nobody")
    assert said.code == 65
    assert "No worker 'nobody' is alive" in said.err


def test_help_tells_of_running_one_and_of_draining_one(farm: Run) -> None:
    said = farm("worker", "--help").out
    assert "--queues" in said
    assert "drain" in said
    assert "undrain" in said
