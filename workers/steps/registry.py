"""Which step a task is: by its kind, and by its id where a job has one of its kind only."""

from __future__ import annotations

from collections.abc import Callable

from farm.errors import Rejected
from farm.service.skeleton import WRAP
from workers.context import StepResult, Task, Tools
from workers.steps.detail import detail
from workers.steps.detect import detect
from workers.steps.encode import encode
from workers.steps.ingest import ingest
from workers.steps.paste import paste_chunk
from workers.steps.plan import plan
from workers.steps.scan import scan
from workers.steps.wrap import wrap

STEPS: dict[str, Callable[[Task, Tools], StepResult]] = {
    "ingest": ingest,
    "detect": detect,
    "scan": scan,
    "plan": plan,
    "detail": detail,
    "paste": paste_chunk,
    "encode": encode,
}


def run_step(task: Task, tools: Tools) -> StepResult:
    """Run a task's step. Raises Rejected for a kind that this version does not know."""
    if task.id == WRAP:
        return wrap(task, tools)
    if task.kind not in STEPS:
        raise Rejected(f"This worker knows no task of kind {task.kind!r}. Run the same version of the farm everywhere.")
    return STEPS[task.kind](task, tools)
