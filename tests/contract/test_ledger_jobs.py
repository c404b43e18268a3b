"""Jobs in the ledger: opened, extended, listed, counted, dropped, forgotten."""

from __future__ import annotations

import pytest

from farm.domain.state import JobState, Outcome, TaskState
from farm.errors import NotFound, Rejected
from farm.ports import NewTask, TaskFilter, WorkerStatus
from tests.contract.ledger_world import CPU, START_S, WRAP, World, chunk_tasks, detail, job_facts, names


def test_a_job_is_created_once(world: World) -> None:
    assert world.ledger.create(job_facts("job", chunks=2))
    assert not world.ledger.create(job_facts("job", chunks=7))
    status = world.ledger.status("job")
    assert status.state is JobState.QUEUED
    assert status.facts == job_facts("job", chunks=2)
    assert status.tasks == 0
    assert status.started is None


def test_a_job_runs_to_its_end_and_its_counts_follow(world: World) -> None:
    world.open(chunks=2)
    done = world.run_all()
    assert len(done) == 10
    assert names(world.ledger.extend("job", [WRAP], 2)) == ["wrap.0"]
    ended = world.do("wrap.0")
    assert ended.job_ended
    status = world.ledger.status("job")
    assert status.state is JobState.COMPLETED
    assert status.counts[TaskState.COMPLETED] == status.tasks == 11
    assert (status.frames_done, status.frames_contiguous) == (32, 32)
    assert (status.chunks_opened, status.chunks_done, status.chunks_failed) == (2, 2, 0)
    assert (status.cache_hits, status.cache_misses) == (0, 4)
    assert status.started == START_S
    assert status.ended == START_S
    assert status.workers_active == 0


def test_barriers_are_neither_counted_nor_shown(world: World) -> None:
    world.open(chunks=1)
    assert sorted(world.states()) == ["encode.0", "paste.0", "plan.0"]
    assert world.ledger.status("job").tasks == 3
    with pytest.raises(NotFound):
        world.ledger.task("job", "patched.0")


def test_tasks_that_exist_are_left_alone(world: World) -> None:
    world.open(chunks=1)
    world.do("plan.0", [detail(0, 0)])
    assert world.ledger.extend("job", [*chunk_tasks(0), detail(0, 0)], 1) == ()
    assert world.state("plan.0") is TaskState.COMPLETED
    assert world.ledger.status("job").tasks == 4


def test_a_call_that_changes_nothing_is_no_revision(world: World) -> None:
    world.open(chunks=1)
    before = world.ledger.status("job")
    world.ledger.extend("job", chunk_tasks(0), 1)
    world.ledger.sweep(30.0)
    assert world.ledger.status("job") == before


def test_a_task_may_be_known_done_when_it_is_added(world: World) -> None:
    world.open(chunks=1)
    ended = world.do("plan.0", [detail(0, 0, output="digest"), detail(0, 1, waits=["detail.0.0"])])
    assert names(ended.offers) == ["detail.0.1"]
    status = world.ledger.status("job")
    assert (status.cache_hits, status.cache_misses) == (1, 1)
    assert world.ledger.outputs("job", ["detail.0.0", "detail.0.1", "nobody"]) == {"detail.0.0": "digest"}


def test_jobs_are_listed_newest_first_and_page_by_page(world: World) -> None:
    for number in range(5):
        world.ledger.create(job_facts(f"job{number}"))
    assert [job.facts.id for job in world.ledger.jobs(limit=3)] == ["job4", "job3", "job2"]
    assert [job.facts.id for job in world.ledger.jobs(after="job2", limit=3)] == ["job1", "job0"]
    assert world.ledger.jobs(after="job0") == ()


def test_tasks_are_listed_by_id_filtered_and_page_by_page(world: World) -> None:
    world.open(chunks=2)
    world.do("plan.0", [detail(0, 0, layer="hand"), detail(0, 1)])
    assert [task.id for task in world.ledger.tasks("job", TaskFilter(), limit=3)] == [
        "detail.0.0",
        "detail.0.1",
        "encode.0",
    ]
    assert [task.id for task in world.ledger.tasks("job", TaskFilter(), after="encode.0", limit=2)] == [
        "encode.1",
        "paste.0",
    ]
    one = TaskFilter(layer="detail:hand")
    assert [task.id for task in world.ledger.tasks("job", one)] == ["detail.0.0"]
    ready = TaskFilter(states=(TaskState.QUEUED,), chunk=1)
    assert [task.id for task in world.ledger.tasks("job", ready)] == ["plan.1"]
    named = TaskFilter(tasks=("paste.1", "patched.1", "nobody"))
    assert [task.id for task in world.ledger.tasks("job", named)] == ["paste.1"]


def test_states_of_chunks_are_told_wherever_they_lie_in_a_long_job(world: World) -> None:
    done = [0, 7, 8, 31, 32, 63, 64, 100, 1249]
    world.ledger.create(job_facts("job", chunks=1250), done_chunks=[(chunk, 16) for chunk in done])
    world.ledger.extend("job", [], 1248)
    expected = {chunk: "done" if chunk in done else "open" for chunk in range(1248)} | {1249: "done"}
    assert world.ledger.chunk_states("job", range(1250)) == expected
    some = [1249, 33, 8, 8, 9, -1, 1248, 90_000]
    assert world.ledger.chunk_states("job", some) == {1249: "done", 33: "open", 8: "done", 9: "open"}
    assert world.ledger.chunk_states("job", []) == {}


def test_a_job_can_begin_with_chunks_that_are_done(world: World) -> None:
    world.ledger.create(job_facts("job", chunks=4), done_chunks=[(0, 16), (1, 15), (3, 16)])
    status = world.ledger.status("job")
    assert (status.chunks_done, status.frames_done, status.frames_contiguous) == (3, 47, 31)
    assert world.ledger.chunk_states("job", range(5)) == {0: "done", 1: "done", 3: "done"}
    world.ledger.extend("job", chunk_tasks(2, last=3), 4)
    assert world.ledger.chunk_states("job", range(5))[2] == "open"
    world.run_all()
    status = world.ledger.status("job")
    assert (status.chunks_done, status.frames_contiguous) == (4, 63)


def test_frames_without_a_gap_are_counted_in_whole_chunks(world: World) -> None:
    world.open(chunks=3)
    contiguous = []
    for number in (1, 0, 2):
        world.do(f"plan.{number}")
        world.do(f"paste.{number}", frames=16)
        world.do(f"encode.{number}")
        contiguous.append(world.ledger.status("job").frames_contiguous)
    assert contiguous == [0, 32, 48]


def test_a_chunk_ends_with_its_closing_task(world: World) -> None:
    world.open(chunks=2)
    assert not world.do("plan.0").chunk_ended
    assert not world.do("paste.0", frames=16).chunk_ended
    assert world.ledger.chunk_states("job", [0, 1, 2]) == {0: "open", 1: "open"}
    assert world.do("encode.0").chunk_ended
    assert world.ledger.chunk_states("job", [0, 1]) == {0: "done", 1: "open"}
    lease = world.take("plan.1")
    assert world.ledger.fail(lease, Outcome.ERROR, "no such frame", None).chunk_ended
    assert world.ledger.chunk_states("job", [0, 1]) == {0: "done", 1: "failed"}
    assert world.ledger.status("job").chunks_failed == 1


def test_a_dropped_chunk_keeps_its_counts_and_counts_as_met(world: World) -> None:
    world.open(chunks=2)
    for task in ("plan.0", "paste.0"):
        world.do(task)
    world.ledger.drop("job", [0])
    assert "plan.0" in world.states(), "dropped before it ended"
    world.do("encode.0")
    before = world.ledger.status("job")
    world.ledger.drop("job", [0])
    assert sorted(world.states()) == ["encode.1", "paste.1", "plan.1"]
    assert world.ledger.status("job") == before
    late = NewTask("late.1", "paste", CPU, 1, settles=("patched.0",), waits=("detail.0.99", "paste.0"))
    assert names(world.ledger.extend("job", [late], 2)) == ["late.1"]


def test_a_finished_chunk_is_not_opened_again_by_a_process_that_was_asleep(world: World) -> None:
    world.open(chunks=1)
    world.run_all()
    world.ledger.drop("job", [0])
    assert world.ledger.extend("job", chunk_tasks(0), 1) == ()
    assert world.states() == {}


def test_a_chunk_that_is_done_but_for_a_straggler_is_not_dropped(world: World) -> None:
    world.open(chunks=1)
    world.ledger.extend("job", [NewTask("thumbs.0", "paste", "gpu.80", 0)], 1)
    world.run_all()
    assert world.ledger.chunk_states("job", [0]) == {0: "done"}
    world.ledger.drop("job", [0])
    assert "plan.0" in world.states()


def test_tasks_of_the_job_itself_are_dropped_by_name_once_they_are_completed(world: World) -> None:
    world.open(chunks=1)
    reads = [NewTask(f"ingest.frame-a.{n}", "ingest", CPU) for n in range(2)]
    world.ledger.extend("job", [*reads, NewTask("late.0", "paste", CPU, 0, waits=("ingest.frame-a.1",))], 1)
    world.do("ingest.frame-a.0")
    before = world.ledger.status("job")
    world.ledger.drop("job", [], ["ingest.frame-a.0", "ingest.frame-a.1", "nobody"])
    assert sorted(world.states()) == ["encode.0", "ingest.frame-a.1", "late.0", "paste.0", "plan.0"]
    assert world.ledger.status("job") == before
    again = NewTask("again.0", "paste", CPU, 0, waits=("ingest.frame-a.0",))
    assert names(world.ledger.extend("job", [reads[0], again], 1)) == ["ingest.frame-a.0"], "it runs again"
    assert names(world.do("ingest.frame-a.0").offers) == ["again.0"]


def test_a_chunk_that_failed_is_not_dropped(world: World) -> None:
    world.open(chunks=1)
    world.ledger.fail(world.take("plan.0"), Outcome.ERROR, "broken", None)
    world.ledger.drop("job", [0])
    assert len(world.states()) == 3


def test_the_last_task_waits_until_every_chunk_has_ended(world: World) -> None:
    world.open(chunks=2)
    for task in ("plan.0", "paste.0", "encode.0"):
        world.do(task)
    assert world.ledger.extend("job", [WRAP], 2) == ()
    world.run_all()
    assert names(world.ledger.extend("job", [WRAP], 2)) == ["wrap.0"]


def test_a_job_with_a_failed_chunk_fails_in_the_end(world: World) -> None:
    world.open(chunks=2)
    world.ledger.fail(world.take("plan.0"), Outcome.ERROR, "broken", None)
    world.run_all()
    world.ledger.extend("job", [WRAP], 2)
    assert world.do("wrap.0").job_ended
    status = world.ledger.status("job")
    assert (status.state, status.chunks_done, status.chunks_failed) == (JobState.FAILED, 1, 1)
    assert status.activity == "failed: plan.0: broken"


def test_a_forgotten_job_leaves_nothing_behind(world: World) -> None:
    world.open("job", chunks=1)
    world.open("next", chunks=1)
    lease = world.take("plan.0")
    world.ledger.beat(WorkerStatus("w1", "host", 1, (CPU,), "cpu", seen=0), 15)
    world.ledger.forget("job")
    with pytest.raises(NotFound):
        world.ledger.status("job")
    assert [job.facts.id for job in world.ledger.jobs()] == ["next"]
    assert world.ledger.renew([lease], 15) == ("lost",)
    assert not world.ledger.finish(lease, "late").accepted
    assert world.ledger.workers()[0].tasks == ()
    world.pass_time(1000)
    swept = world.ledger.sweep(1)
    assert (swept.expired, swept.jobs, names(swept.offers)) == ((), ("next",), ["plan.0"])
    claimed = world.claim()
    assert claimed is not None
    assert claimed.job == "next"
    world.ledger.forget("job")


def test_what_is_not_there_is_said(world: World) -> None:
    ledger = world.ledger
    for question in (
        lambda: ledger.status("gone"),
        lambda: ledger.extend("gone", [], 0),
        lambda: ledger.act("gone", "pause", "", ""),
        lambda: ledger.retry("gone", TaskFilter(), "", ""),
        lambda: ledger.ready("gone"),
        lambda: ledger.tasks("gone", TaskFilter()),
        lambda: ledger.task("gone", "plan.0"),
        lambda: ledger.outputs("gone", ["plan.0"]),
        lambda: ledger.chunk_states("gone", [0]),
        lambda: ledger.jobs(after="gone"),
    ):
        with pytest.raises(NotFound, match="gone"):
            question()
    ledger.drop("gone", [0])
    ledger.forget("gone")


def test_names_that_a_ledger_cannot_hold_are_refused(world: World) -> None:
    for name in ("a/b", "a b", "a|b", ""):
        with pytest.raises(Rejected):
            world.ledger.create(job_facts(name))
    world.ledger.create(job_facts("job"))
    for name in ("a/b", "a b", ""):
        with pytest.raises(Rejected):
            world.ledger.extend("job", [NewTask(name, "plan", CPU)], 0)
    with pytest.raises(Rejected, match="priority"):
        world.ledger.create(job_facts("high", priority=101))
