"""`farm task run`: one task's step in this process, against the real store. No broker, no ledger, no subprocess: the
way to put a step under a debugger. What it makes is stored, but nobody is told: the farm finds it when it plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from farm.adapters.ledger_rules import chunk_of
from farm.adapters.stores import open_store
from farm.errors import Rejected
from farm.settings import Settings
from workers.context import StepResult, Task, Tools
from workers.gpu.engine import engine_of
from workers.steps.parts import done_output
from workers.steps.registry import run_step


class TaskOrder(BaseModel):
    """What a task file says: `{"job": "20260101-120000-000-abcdef", "task": "detail.3.0"}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    task: str


def run_one(order: TaskOrder, settings: Settings, on_step: Callable[[int, int], None]) -> StepResult:
    """Run a task's step; its patches, frames or documents are written to the store as a worker would.

    Raises:
        NotFound: no such job, or its chunk is not planned yet.   Rejected: as the step does.
    """
    blobs = open_store(settings.store_uri(), settings)
    tools = Tools(
        blobs,
        settings.cache_folder(),
        lambda: engine_of(settings),
        settings.max_pixels,
        settings.cache_bytes(),
    )
    job = tools.documents.job(order.job)
    kind = order.task.partition(".")[0]
    kind = {"segments": "scan", "tracks": "detect", "search": "detect", "wrap": "encode"}.get(kind, kind)
    chunk = chunk_of(order.task)

    def outputs(tasks: Sequence[str]) -> Mapping[str, str]:
        found = {}
        for name in tasks:
            parts = name.split(".")
            if len(parts) != 3 or not parts[1].isdigit():
                raise Rejected(f"{name!r} is no detail task; its output is not kept in the store.")
            output = done_output(blobs, tools.plan(job.id, int(parts[1])).task(name).key)
            if output:
                found[name] = output
        return found

    return run_step(Task(job, order.task, kind, chunk, on_step, outputs), tools)
