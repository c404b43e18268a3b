"""Short ways to have workers fail, tasks split and jobs poisoned."""

from __future__ import annotations

from farm.adapters.ledger_rules import FAULTS_MAX
from farm.domain.state import Outcome
from farm.ports import Lease, NewTask, Offer, WorkerStatus
from tests.contract.ledger_world import CPU, GPU, WRAP, World, detail


def beat(world: World, *workers: str, **info: object) -> None:
    """Workers that are alive for an hour and serve all queues."""
    for worker in workers:
        world.ledger.beat(WorkerStatus(worker, "host", 1, (CPU, GPU), "cpu", seen=0, info=info), 3600)


def fail(world: World, lease: Lease | None, retry_in_s: float | None = 0.0) -> Lease:
    """End an attempt with an error."""
    assert lease is not None
    assert world.ledger.fail(lease, Outcome.ERROR, "broken", retry_in_s).accepted
    return lease


def block(world: World, worker: str, kind: str = "plan") -> list[str]:
    """Have a worker fail as many tasks as it takes; the tasks."""
    return [fail(world, world.claim(worker=worker), 500.0).task for _ in range(FAULTS_MAX)]


def parts_of(task: str, count: int) -> list[NewTask]:
    """What a batch is split into."""
    chunk = int(task.split(".")[1])
    return [NewTask(f"{task}.{n}", "detail", GPU, chunk, "detail:face", key=f"key {n}") for n in range(count)]


def split(world: World, count: int = 3) -> tuple[Offer, ...]:
    """A job of one chunk whose first batch was split."""
    world.open(chunks=1)
    world.do("plan.0", [detail(0, 0), detail(0, 1, waits=["detail.0.0"])])
    lease = world.take("detail.0.0")
    return world.ledger.fail(lease, Outcome.ERROR, "no", 5.0, parts=parts_of("detail.0.0", count)).offers


def poisoned(world: World) -> None:
    """The same, one part has failed for good, the others are done, the job has ended."""
    split(world)
    world.do("detail.0.0.0")
    fail(world, world.take("detail.0.0.1"), None)
    world.do("detail.0.0.2")
    world.ledger.extend("job", [WRAP], 1)
    world.do("wrap.0")


def finish_all(world: World) -> list[str]:
    """Work until nothing is ready, then close the job."""
    done = world.run_all(details=0)
    world.ledger.extend("job", [WRAP], 1)
    return [*done, *world.run_all(details=0)]
