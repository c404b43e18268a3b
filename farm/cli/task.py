"""`farm task …`: one task under a debugger."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from farm.cli.context import client, resolved, settings
from farm.cli.faults import bad_document
from farm.cli.show import AsJson, facts, notes, out, write_json
from farm.domain.task_log import TaskLog
from farm.errors import Rejected

app = typer.Typer(help="Look at single tasks, and run one in this process.", no_args_is_help=True)


@app.command()
def get(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.", show_default=False)],
    task_id: Annotated[str, typer.Argument(metavar="TASK", help="Such as detail.3.0: see `farm job tasks JOB`.")],
    as_json: AsJson = False,
) -> None:
    """One task of a job: its state and all its attempts."""
    with client() as farm:
        found = farm.task(resolved(job_id), task_id)
    if as_json:
        write_json(found)
    else:
        facts({name: value for name, value in found.model_dump(mode="json").items() if name != "history"})
        for attempt in found.history:
            notes().print(json.dumps(attempt), markup=False, soft_wrap=True)


@app.command()
def log(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id, or `last`.", show_default=False)],
    task_id: Annotated[str, typer.Argument(metavar="TASK", help="Such as detail.3.0: see `farm job tasks JOB`.")],
    every: Annotated[bool, typer.Option("--all", help="All attempts that were kept; else the last one.")] = False,
    as_json: AsJson = False,
) -> None:
    """What a worker logged in an attempt that ended badly, also after that worker is gone.

    Workers with FARM_TASK_LOGS=all keep attempts that ended well, too. All of it goes with the job.
    """
    with client() as farm:
        found = farm.task_log(resolved(job_id), task_id)
    found = found if every else found[-1:]
    if as_json:
        write_json(found)
        return
    if not found:
        notes().print("No log was kept: no attempt at it ended badly, or its worker died. See: farm task get …")
    for each in found:
        _show_log(each)


def _show_log(log: TaskLog) -> None:
    head = f"attempt {log.attempt} by {log.worker} on {log.host} ended {log.ended[:19]} with {log.outcome}"
    notes().print(head, style="bold", markup=False)
    if log.left_out:
        notes().print(f"… {log.left_out} lines before", style="dim")
    for line in log.lines:
        raised = line.get("exception")
        known = ("timestamp", "level", "event", "exception")
        more = " ".join(f"{name}={value}" for name, value in line.items() if name not in known)
        at = str(line.get("timestamp", ""))[11:23]
        out().print(f"{at} {line.get('level', ''):8}{line.get('event', '')} {more}", markup=False)
        if raised:
            out().print(str(raised), markup=False)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="TASK.JSON", help='{"job": "…", "task": "detail.0.0"}')],
    as_json: AsJson = False,
) -> None:
    """Run one task's step in this process on the real store: no broker, no ledger, nobody is told.

    For debugging: what it writes are the same objects under the same names.
    """
    from workers.one_task import TaskOrder, run_one

    try:
        order = TaskOrder.model_validate_json(file.read_bytes())
    except OSError as error:
        raise Rejected(f"{str(file)!r} cannot be read: {error.strerror}. Give a file such as task.json.") from None
    except ValidationError as error:
        raise bad_document(f"The task {str(file)!r}", error) from None
    begun = time.monotonic()
    result = run_one(order, settings(), lambda step, steps: notes().print(f"step {step} of {steps}", style="dim"))
    said = {
        "output": result.output,
        "frames": result.frames,
        "tasks": [task.id for task in result.tasks],
        "seconds": round(time.monotonic() - begun, 3),
    }
    if as_json:
        write_json(said)
    else:
        facts(said)
