"""What people decide about a job that runs, or that has failed: `farm job eat`, `unblock`, `priority`, `limit`."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.cli.context import client, resolved
from farm.cli.show import AsJson, notes, out, state, write_json

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id, or `last` for the newest job.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the job.")]


def eat(
    job_id: JobId,
    tasks: Annotated[list[str] | None, typer.Argument(metavar="[TASK]...", help="Failed tasks by their ids.")] = None,
    frame: Annotated[int | None, typer.Option(help="All that failed of the frame with this number.")] = None,
    chunk: Annotated[int | None, typer.Option(min=0, help="All that failed of this chunk.")] = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Give up what failed, so that the job can end: frames keep the input's pixels there.

    A frame that cannot be read is left out; in the video the picture before it stands for it. `farm job retry` undoes
    it. `farm job tasks JOB --state failed` lists what has failed.
    """
    which = {"tasks": list(tasks or ()), "frame": frame, "chunk": chunk}
    if sum(value not in ([], None) for value in which.values()) != 1:
        raise typer.BadParameter("name tasks, or give --frame or --chunk: one of the three.")
    act(job_id, "eat", reason, as_json, {name: value for name, value in which.items() if value not in ([], None)})


def unblock(
    job_id: JobId,
    worker: Annotated[str, typer.Argument(metavar="[WORKER]", help="Only this worker.")] = "",
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Give workers tasks of a job again that failed too many of them; `farm workers` shows who is blocked."""
    with client() as farm:
        affected, job = farm.unblock(resolved(job_id), worker, reason)
    if as_json:
        write_json({"affected": affected, "job": job.model_dump(mode="json")})
        return
    out().print(f"{affected} blocks are gone.")


def priority(
    job_id: JobId,
    number: Annotated[int, typer.Argument(metavar="N", min=0, max=100, help="0 to 100; larger is served first.")],
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Change a job's priority while it runs. Tasks that run are finished."""
    _adjust(job_id, number, None, reason, as_json)


def limit(
    job_id: JobId,
    workers: Annotated[int, typer.Argument(metavar="N", min=0, help="0: any number.")],
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Have at most N workers at work on a job at the same time. Tasks that run are finished."""
    _adjust(job_id, None, workers, reason, as_json)


def act(job_id: str, action: str, reason: str, as_json: bool, which: dict[str, object] | None = None) -> None:
    """Have the farm do something with a job, and say what became of it."""
    with client() as farm:
        affected, job = farm.act(resolved(job_id), action, reason, which)
    if as_json:
        write_json({"affected": affected, "job": job.model_dump(mode="json")})
        return
    notes().print(f"{affected} tasks are affected.")
    out().print(job.id, state(job.status))


def _adjust(job_id: str, priority: int | None, workers: int | None, reason: str, as_json: bool) -> None:
    with client() as farm:
        job = farm.adjust(resolved(job_id), priority, workers, reason)
    if as_json:
        write_json(job)
        return
    most = f"at most {job.max_workers} workers" if job.max_workers else "any number of workers"
    out().print(job.id, state(job.status), f"priority {job.priority}, {most}")
