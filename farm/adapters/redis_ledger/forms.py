"""The ledger's nouns, as its scripts take and give them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from farm.adapters.ledger_rules import BARRIER, FAULTS_MAX, REASON_MAX, chunk_of, job_order
from farm.domain.state import JobState, TaskState
from farm.ports import (
    Blocked,
    Drain,
    Ended,
    JobFacts,
    JobStatus,
    Lease,
    NewTask,
    Offer,
    TaskFilter,
    TaskStatus,
    WorkerStatus,
)

Json = Any
"""What a script answered, decoded. Lua has no empty list: it comes as {}."""


def job_fields(facts: JobFacts) -> str:
    """A job's first fields, as text."""
    fields = {
        "facts": json.dumps(asdict(facts)),
        "order": job_order(facts.created, facts.id),
        "priority": str(facts.priority),
        "max_attempts": str(facts.max_attempts),
        "chunks": str(facts.chunks),
        "max_workers": str(facts.max_workers),
        "user": facts.user,
        "weight": str(facts.weight),
        "trial": str(facts.trial),
    }
    return json.dumps(fields)


def new_tasks(tasks: Iterable[NewTask]) -> str:
    """Tasks to be added; what is empty is left out, and a wait comes with the chunk in its name."""
    return json.dumps([_new_task(task) for task in tasks])


def _new_task(task: NewTask) -> Json:
    form: dict[str, object] = {"id": task.id, "kind": task.kind, "queue": task.queue, "chunk": task.chunk}
    form |= {name: value for name in ("layer", "key", "output", "parts") if (value := getattr(task, name))}
    form |= {name: True for name in ("closes", "final") if getattr(task, name)}
    form |= {
        name: [[wait, chunk_of(wait)] for wait in waits]
        for name in ("waits", "settles")
        if (waits := getattr(task, name))
    }
    if task.feeds:
        form["feeds"] = list(task.feeds)
    return form


def task_filter(which: TaskFilter) -> str:
    """A filter as sets; what is not asked for is left out."""
    form: dict[str, object] = {}
    if which.states:
        form["states"] = {state.value: True for state in which.states}
    if which.layer:
        form["layer"] = which.layer
    if which.chunk is not None:
        form["chunk"] = which.chunk
    if which.tasks:
        form["tasks"] = dict.fromkeys(which.tasks, True)
    return json.dumps(form)


def offers(answer: Json) -> tuple[Offer, ...]:
    """Offers, from lists of their parts."""
    return tuple(Offer(*parts) for parts in answer)


def ended(text: str) -> Ended:
    """What an attempt's end led to."""
    answer = json.loads(text)
    return Ended(
        accepted=answer["accepted"],
        offers=offers(answer["offers"]),
        chunk_ended=bool(answer.get("chunk_ended")),
        job_ended=bool(answer.get("job_ended")),
        task_state=TaskState(answer["state"]) if "state" in answer else None,
    )


def lease(job: str, task: str, text: str, amended: int) -> Lease:
    """The lease that a row stands for."""
    row = json.loads(text)
    return Lease(
        job=job,
        task=task,
        kind=row["kind"],
        queue=row["queue"],
        chunk=row["chunk"],
        layer=row.get("layer", ""),
        key=row.get("key", ""),
        attempt=row["attempt"],
        fence=row["fence"],
        worker=row["worker"],
        parts=row.get("parts", 0),
        amended=bool(amended),
        waited_s=(row["started"] - row.get("since", row["started"])) / 1000,
    )


def is_task(row: Json) -> bool:
    """Whether people see it."""
    return bool(row["kind"] != BARRIER)


def task_status(task: str, row: Json) -> TaskStatus:
    """A row as people see it."""
    return TaskStatus(
        id=task,
        kind=row["kind"],
        layer=row.get("layer", ""),
        chunk=row["chunk"],
        state=TaskState(row["state"]),
        attempt=row["attempt"],
        key=row.get("key", ""),
        output=row.get("output", ""),
        worker=row.get("worker", ""),
        error=row.get("error", ""),
        step=row.get("step", 0),
        steps=row.get("steps", 0),
        cause=row.get("cause", ""),
        history=tuple(_attempt(attempt) for attempt in row.get("history", ())),
    )


def _attempt(attempt: Mapping[str, Any]) -> Mapping[str, object]:
    return {**attempt, "started": attempt["started"] / 1000, "ended": attempt["ended"] / 1000}


def meant(task: TaskStatus, which: TaskFilter) -> bool:
    """Whether the filter lets it through."""
    return (
        (not which.states or task.state in which.states)
        and which.layer in ("", task.layer)
        and which.chunk in (None, task.chunk)
        and (not which.tasks or task.id in which.tasks)
    )


def job_status(fields: Mapping[str, str], counts: Mapping[str, str], workers: int) -> JobStatus:
    """A job's hashes as people see them."""
    by_state = {state: int(counts.get(state.value, 0)) for state in TaskState}
    started, ended_at = int(fields.get("started", 0)), int(fields.get("ended", 0))
    return JobStatus(
        facts=replace(
            JobFacts(**json.loads(fields["facts"])),
            priority=int(fields["priority"]),
            max_workers=int(fields.get("max_workers", 0)),
        ),
        state=JobState(fields["state"]),
        activity=fields["activity"],
        revision=int(fields["revision"]),
        counts=by_state,
        tasks=sum(by_state.values()),
        frames_done=int(fields.get("frames_done", 0)),
        frames_contiguous=int(fields.get("frames_contiguous", 0)),
        chunks_opened=int(fields.get("opened", 0)),
        chunks_done=int(fields.get("chunks_done", 0)),
        chunks_failed=int(fields.get("chunks_failed", 0)),
        steps_done=int(fields.get("steps_done", 0)),
        started=started / 1000 if started else None,
        ended=ended_at / 1000 if ended_at else None,
        cache_hits=int(fields.get("hits", 0)),
        cache_misses=int(fields.get("misses", 0)),
        workers_active=workers,
        blocked=blocked(json.loads(fields.get("faults", "{}"))),
        eaten=_chunks(fields.get("eaten", "")),
        reopened=_chunks(fields.get("reopened", "")),
        trial=int(fields.get("trial", 0)),
        kinds=_kinds(counts),
    )


def _kinds(counts: Mapping[str, str]) -> dict[tuple[str, TaskState], int]:
    """Of `<kind>:<state>`. Below 0: tasks that came before such counts were kept."""
    found = ((*name.partition(":"), int(tasks)) for name, tasks in counts.items())
    return {(kind, TaskState(state)): tasks for kind, colon, state, tasks in found if colon and tasks > 0}


def blocked(faults: Mapping[str, str]) -> tuple[Blocked, ...]:
    """Who failed too many tasks, of `<kind>|<worker>` -> tasks with spaces between."""
    split = ((*name.partition("|"), tuple(tasks.split())) for name, tasks in sorted(faults.items()))
    return tuple(Blocked(worker, kind, tasks) for kind, _, worker, tasks in split if len(tasks) >= FAULTS_MAX)


def _chunks(text: str) -> tuple[int, ...]:
    return tuple(sorted(map(int, text.split())))


def worker_form(worker: WorkerStatus) -> str:
    """What a worker says of itself."""
    form = asdict(worker)
    for known_here in ("seen", "tasks", "drain"):
        del form[known_here]
    return json.dumps(form)


def worker_status(answer: Sequence[str]) -> WorkerStatus:
    """What is known of a worker: what it says, when it was seen, the wish that it ends, its leases."""
    says = json.loads(answer[0])
    says["queues"] = tuple(says["queues"])
    return WorkerStatus(**says, seen=int(answer[1]) / 1000, drain=drain(answer[2]), tasks=tuple(sorted(answer[3:])))


def drain_form(wish: Drain) -> str:
    """A wish without its time, which is the server's."""
    return json.dumps({"actor": wish.actor, "reason": wish.reason[:REASON_MAX], "grace_s": wish.grace_s})


def drain(text: str | None) -> Drain | None:
    """A wish as it is kept; None for none."""
    if not text:
        return None
    wish = json.loads(text)
    return Drain(wish["actor"], wish["reason"], wish["since"] / 1000, wish["grace_s"])
