"""Workers as the ledger sees them."""

from __future__ import annotations

from dataclasses import replace
from threading import Thread

from farm.domain.state import JobState, Outcome
from farm.ports import WorkerStatus
from tests.contract.ledger_world import CPU, GPU, START_S, TTL_S, World, chunk_tasks, job_facts


def test_a_worker_is_known_as_long_as_it_gives_signs_of_life(world: World) -> None:
    world.open(chunks=2)
    one = WorkerStatus("w1", "host", 12, (CPU, GPU), "cuda:0", seen=0, info={"vram": 24, "models": []})
    world.ledger.beat(one, 15)
    world.ledger.beat(replace(one, id="w0"), 30)
    world.take("plan.0")
    world.take("plan.1")
    found = world.ledger.workers()
    assert found == (
        replace(one, id="w0", seen=START_S),
        replace(one, seen=START_S, tasks=("job/plan.0", "job/plan.1")),
    )
    world.pass_time(15)
    assert [worker.id for worker in world.ledger.workers()] == ["w0"]
    assert world.ledger.alive() == 1
    world.ledger.sweep(1000)
    world.ledger.beat(one, 15)
    assert [worker.id for worker in world.ledger.workers()] == ["w0", "w1"]
    assert world.ledger.alive() == 2


def test_workers_at_work_are_counted_once_each(world: World) -> None:
    world.open(chunks=4)
    leases = [world.take(f"plan.{n}", worker=worker) for n, worker in enumerate(("w1", "w1", "w2"))]
    assert world.ledger.status("job").workers_active == 2
    world.ledger.finish(leases[0], "x")
    assert world.ledger.status("job").workers_active == 2
    world.ledger.fail(leases[1], Outcome.ERROR, "", None)
    assert world.ledger.status("job").workers_active == 1
    world.pass_time(TTL_S)
    world.ledger.sweep(1000)
    assert world.ledger.status("job").workers_active == 0


def test_the_first_value_is_remembered_for_its_time(world: World) -> None:
    assert world.ledger.remember("sweeper", "me", 10) == "me"
    assert world.ledger.remember("sweeper", "you", 10) == "me"
    assert world.ledger.remember("other", "a|b\nc", 10) == "a|b\nc"
    assert world.ledger.remember("other", "x", 10) == "a|b\nc"
    world.pass_time(10)
    assert world.ledger.remember("sweeper", "you", 10) == "you"


def test_one_task_is_given_to_one_worker_only(world: World) -> None:
    world.ledger.create(job_facts(chunks=40))
    world.ledger.extend("job", [task for n in range(40) for task in chunk_tasks(n)], 40)
    done: dict[str, list[str]] = {f"w{n}": [] for n in range(4)}

    def work(worker: str) -> None:
        while lease := world.claim(worker=worker):
            if world.ledger.finish(lease, "x", frames=int(lease.kind == "paste")).accepted:
                done[worker].append(lease.task)

    threads = [Thread(target=work, args=(worker,)) for worker in done]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tasks = [task for mine in done.values() for task in mine]
    assert len(tasks) == len(set(tasks)) == 120
    status = world.ledger.status("job")
    assert (status.chunks_done, status.frames_contiguous) == (40, 40)
    assert status.state is JobState.ACTIVE
    world.ledger.ping()
