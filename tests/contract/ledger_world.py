"""A ledger with a clock that tests turn, and short ways to say what happens in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from farm.domain.state import TaskState
from farm.ports import Ended, JobFacts, Lease, Ledger, NewTask, Offer, TaskFilter

CPU = "cpu"
GPU = "gpu.0"
ALL = (CPU, GPU)
TTL_S = 15.0
START_S = 1_800_000_000.0
"""When tests begin, seconds since 1970."""


@dataclass
class HandClock:
    """Stands still until it is moved."""

    now: float = START_S

    def __call__(self) -> float:
        return self.now


def job_facts(job: str = "job", *, chunks: int = 0, priority: int = 50, max_attempts: int = 3) -> JobFacts:
    """A job; its creation time is its name, so that names sort by age."""
    return JobFacts(
        id=job,
        name=f"name of {job}",
        type="mask",
        user="ann",
        created=job,
        priority=priority,
        frames=chunks * 16,
        chunks=chunks,
        max_attempts=max_attempts,
    )


def chunk_tasks(number: int, last: int = 0) -> list[NewTask]:
    """The fixed tasks of a chunk; with `last` > 0 its paste also waits until its neighbors' patches are settled."""
    around = tuple(f"patched.{n}" for n in (number - 1, number + 1) if last and 0 <= n <= last)
    return [
        NewTask(f"plan.{number}", "plan", CPU, number, "plan"),
        NewTask(f"patched.{number}", "barrier", "", number, waits=(f"plan.{number}",)),
        NewTask(f"paste.{number}", "paste", CPU, number, "paste", waits=(f"patched.{number}",), settles=around),
        NewTask(f"encode.{number}", "encode", CPU, number, "encode", waits=(f"paste.{number}",), closes=True),
    ]


def detail(number: int, index: int, *, waits: Sequence[str] = (), output: str = "", layer: str = "face") -> NewTask:
    """A detail task that its chunk's paste waits for."""
    return NewTask(
        f"detail.{number}.{index}",
        "detail",
        GPU,
        number,
        f"detail:{layer}",
        key=f"key-{number}-{index}",
        waits=tuple(waits),
        feeds=(f"patched.{number}",),
        output=output,
    )


WRAP = NewTask("wrap.0", "encode", CPU, layer="wrap", final=True)


@dataclass
class World:
    """A ledger under test."""

    ledger: Ledger
    clock: HandClock
    leases: dict[str, Lease] = field(default_factory=dict)

    def pass_time(self, seconds: float) -> None:
        """Turn the clock."""
        self.clock.now += seconds

    def open(self, job: str = "job", *, chunks: int = 1, priority: int = 50, max_attempts: int = 3) -> None:
        """A job with its chunks open."""
        self.ledger.create(job_facts(job, chunks=chunks, priority=priority, max_attempts=max_attempts))
        self.ledger.extend(job, [task for n in range(chunks) for task in chunk_tasks(n)], chunks)

    def open_for(self, job: str, user: str, weight: float = 1.0) -> None:
        """A long job of a user, all of it open."""
        self.ledger.create(replace(job_facts(job, chunks=30), user=user, weight=weight))
        self.ledger.extend(job, [task for n in range(30) for task in chunk_tasks(n)], 30)

    def claim(self, *queues: str, worker: str = "w1", prefer: Offer | None = None) -> Lease | None:
        """What a worker is given."""
        return self.ledger.claim(worker, queues or ALL, prefer, TTL_S)

    def take(self, task: str, job: str = "job", worker: str = "w1") -> Lease:
        """Claim exactly this task; other jobs must not be better."""
        status = self.ledger.task(job, task)
        queue = GPU if status.kind == "detail" else CPU
        lease = self.claim(queue, worker=worker, prefer=Offer(job, task, status.kind, queue))
        assert lease is not None, f"{task} is not ready"
        assert lease.task == task
        return lease

    def do(self, task: str, tasks: Sequence[NewTask] = (), job: str = "job", frames: int = 0) -> Ended:
        """Claim and finish."""
        return self.ledger.finish(self.take(task, job), f"output of {task}", tasks, frames, seconds=1.0)

    def run_all(self, job: str = "job", details: int = 2) -> list[str]:
        """Work until nothing is ready, as a worker would; the tasks in the order of their ends."""
        done = []
        while lease := self.claim():
            new = [detail(lease.chunk, k) for k in range(details)] if lease.kind == "plan" else []
            self.ledger.finish(lease, f"output of {lease.task}", new, 16 if lease.kind == "paste" else 0, 1.0)
            done.append(lease.task)
        return done

    def states(self, job: str = "job") -> dict[str, TaskState]:
        """State of each task that people see."""
        return {task.id: task.state for task in self.ledger.tasks(job, TaskFilter())}

    def state(self, task: str, job: str = "job") -> TaskState:
        """State of one task."""
        return self.ledger.task(job, task).state


def names(offers: Sequence[Offer]) -> list[str]:
    """Tasks of offers, sorted."""
    return sorted(offer.task for offer in offers)
