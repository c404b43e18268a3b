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
from farm.cli.show import AsJson, facts, notes, write_json
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
