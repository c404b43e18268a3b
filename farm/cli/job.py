"""`farm job …`: submit, look, wait, decide, fetch."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.cli.approve import approve, reject
from farm.cli.context import LONG_PATIENCE_S, client, resolved
from farm.cli.decide import JobId, Reason, act, eat, limit, priority, unblock
from farm.cli.download import download
from farm.cli.faults import TIMED_OUT
from farm.cli.notices import notices as told
from farm.cli.plan import EPILOG as PLAN_EPILOG
from farm.cli.plan import plan
from farm.cli.show import AsJson, facts, notes, out, size, span, state, table, write_json
from farm.cli.submit import EPILOG, submit
from farm.cli.trace import trace
from farm.cli.watch import end, follow, until_decided
from farm.client.answers import JobAnswer
from farm.domain.state import JobState, TaskState

app = typer.Typer(help="Submit, watch, stop and fetch jobs.", no_args_is_help=True)
app.command("submit", epilog=EPILOG)(submit)
app.command("plan", epilog=PLAN_EPILOG)(plan)
app.command("trace")(trace)
app.command("download")(download)
app.command("notices")(told)

Limit = Annotated[int, typer.Option(min=1, max=100_000, help="How many at the most.")]
Timeout = Annotated[float | None, typer.Option(min=0, help="Seconds to wait at the most; then the exit code is 3.")]


@app.command("list")
def list_(
    status: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Jobs, newest first."""
    with client() as farm:
        found = farm.jobs(status, limit)
    if as_json:
        write_json(found)
        return
    rows = [
        (
            job.id,
            job.name,
            job.type,
            state(job.status),
            f"{job.frames.done}/{job.frames.total}",
            span(job.eta.seconds) if job.eta else "",
            job.created[:19].replace("T", " "),
        )
        for job in found
    ]
    table(
        ("job", "name", "type", "status", "frames", "eta", "created"), rows, "No jobs yet. Submit one: farm job submit."
    )


@app.command()
def get(job_id: JobId, as_json: AsJson = False) -> None:
    """One job: its state, counts and parameters."""
    with client() as farm:
        job_id = resolved(job_id)
        document = farm.job_document(job_id)
    if as_json:
        write_json(document)
        return
    job = JobAnswer.model_validate(document)
    facts(
        {
            "job": job.id,
            "name": job.name,
            "type": job.type,
            "status": state(job.status),
            "activity": job.activity,
            "waiting": job.waiting_reason,
            "frames": f"{job.frames.done} of {job.frames.total} ({job.frames.contiguous_done} without a gap)",
            "chunks": f"{job.chunks.done} done, {job.chunks.failed} failed, {job.chunks.total} in all",
            "tasks": ", ".join(f"{count} {name}" for name, count in job.counts.items() if count),
            "cache": f"{job.cache.hits} of {job.cache.hits + job.cache.misses} detail tasks were known",
            "eta": span(job.eta.seconds) if job.eta else None,
            "priority": job.priority,
            "workers": f"{job.workers_active}{f' of {job.max_workers} at most' if job.max_workers else ''}",
            "blocked": [f"{each.worker} ({each.kind}: {' '.join(each.tasks)})" for each in job.blocked],
            "created": job.created,
            "started": job.started,
            "ended": job.ended,
            "notes": [*job.notes, *((job.document or {}).get("warnings") or ())],
        }
    )


@app.command()
def watch(job_id: JobId, timeout: Timeout = None, as_json: AsJson = False) -> None:
    """Show a job's progress until it has ended; the exit code tells how."""
    _follow(job_id, timeout, quiet=False, as_json=as_json)


@app.command()
def wait(job_id: JobId, timeout: Timeout = None, as_json: AsJson = False) -> None:
    """Wait in silence until a job has ended; the exit code tells how: 0 completed, 1 failed, 2 canceled, 3 not yet, 4
    it waits for approval (`farm job approve`, `reject`)."""
    _follow(job_id, timeout, quiet=True, as_json=as_json)


@app.command()
def cancel(job_id: JobId, reason: Reason = "", as_json: AsJson = False) -> None:
    """Stop a job; running tasks stop within one sampler step. Finished frames stay, `retry` goes on."""
    act(job_id, "cancel", reason, as_json)


@app.command()
def pause(job_id: JobId, reason: Reason = "", as_json: AsJson = False) -> None:
    """Start no more tasks of a job; those that run are finished."""
    act(job_id, "pause", reason, as_json)


@app.command()
def resume(job_id: JobId, reason: Reason = "", as_json: AsJson = False) -> None:
    """Let a paused job go on."""
    act(job_id, "resume", reason, as_json)


@app.command()
def retry(
    job_id: JobId,
    layer: Annotated[str, typer.Option(help="Only tasks of this layer, such as detail:face.")] = "",
    states: Annotated[list[TaskState] | None, typer.Option("--state", help="Only tasks in this state.")] = None,
    chunk: Annotated[int | None, typer.Option(min=0, help="Only tasks of this chunk.")] = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Try failed and canceled tasks again, and make again what was eaten; an ended job is opened again.

    Finished tasks are left alone; with --state failed, eaten ones too.
    """
    which: dict[str, object] = {"states": [each.value for each in states or ()], "layer": layer, "chunk": chunk}
    act(job_id, "retry", reason, as_json, {name: value for name, value in which.items() if value not in ([], "", None)})


for command in (approve, reject, eat, unblock, priority, limit):
    app.command()(command)


@app.command()
def delete(
    job_id: JobId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Remove a job that has ended, with its frames and video. What others may share stays until `farm gc`."""
    with client() as farm:
        job_id = resolved(job_id)
        if not yes:
            typer.confirm(f"Remove job {job_id} and all its outputs?", abort=True)
        farm.delete_job(job_id, reason)
    if as_json:
        write_json({"deleted": job_id})
    else:
        notes().print(f"Job {job_id} is gone. Free what only it has used: farm gc")


@app.command()
def recover(
    job_id: Annotated[str | None, typer.Argument(metavar="[JOB]", help="The job's id.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All jobs of the store.")] = False,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Rebuild jobs in Redis from the store alone, after Redis lost its data. Nothing that is finished is made again."""
    if (job_id is None) is not every:
        raise typer.BadParameter("give either a job's id or --all.")
    if job_id is not None:
        act(job_id, "recover", reason, as_json)
        return
    with client(60.0) as farm:
        found = farm.recover_all(reason)
    if as_json:
        write_json({"jobs": found})
    else:
        out().print(f"{len(found)} jobs are in Redis as the store has them.")


@app.command()
def tasks(
    job_id: JobId,
    layer: Annotated[str, typer.Option(help="Only this layer, such as detail:face.")] = "",
    states: Annotated[list[TaskState] | None, typer.Option("--state", help="Only tasks in this state.")] = None,
    chunk: Annotated[int | None, typer.Option(min=0, help="Only this chunk.")] = None,
    limit: Limit = 200,
    as_json: AsJson = False,
) -> None:
    """Tasks of the chunks in flight, and those that failed, with their errors."""
    with client() as farm:
        found = farm.tasks(resolved(job_id), states or (), layer, chunk, limit)
    if as_json:
        write_json(found)
        return
    rows = [
        (
            task.id,
            task.layer,
            state(task.state),
            task.attempt,
            f"{task.step}/{task.steps}" if task.steps else "",
            task.worker,
            task.error,
        )
        for task in found
    ]
    table(
        ("task", "layer", "state", "attempt", "step", "worker", "error"), rows, "No tasks in flight, and none failed."
    )


@app.command()
def frames(
    job_id: JobId,
    number: Annotated[int | None, typer.Argument(metavar="[FRAME]", help="One frame, by its number.")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Frames of a job: how each stands, and what is detailed in it."""
    with client() as farm:
        job_id = resolved(job_id)
        found = farm.frames(job_id, limit) if number is None else [farm.frame(job_id, number)]
    if as_json:
        write_json(found if number is None else found[0])
        return
    rows = [
        (
            frame.number,
            state(frame.state),
            frame.name,
            size(frame.size) if frame.size else "",
            [f"{each.source}.{each.segment} {list(each.region)}" for each in frame.segments],
        )
        for frame in found
    ]
    table(("frame", "state", "name", "size", "segments"), rows, "No frames.")


def _follow(job_id: str, timeout: float | None, *, quiet: bool, as_json: bool) -> None:
    with client(LONG_PATIENCE_S) as farm:
        job_id = resolved(job_id)
        if quiet:
            ended = until_decided(farm, job_id, timeout)
            code = TIMED_OUT if ended is None else end(farm, ended, job_id)
        else:
            code = end(farm, follow(farm, job_id, timeout, quiet=as_json), job_id)
        if as_json:
            write_json(farm.job_document(job_id))
    raise typer.Exit(code)
