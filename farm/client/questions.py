"""Everything that can be asked of a farm in calls of JSON, once for threads and coroutines.

What moves files is beside it (`uploads`, `download`, `models`), and streams of events (`events`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

from farm.client.answers import (
    FrameAnswer,
    JobAnswer,
    ModelAnswer,
    ModelFileAnswer,
    TaskAnswer,
    Validated,
    WorkerAnswer,
)
from farm.client.calls import Call, Question, get, post
from farm.client.ends import JobCanceled, JobFailed, StillRunning
from farm.domain.job import JobRequest
from farm.domain.like import LikeRequest
from farm.domain.state import JobState, TaskState
from farm.domain.task_log import TaskLog
from farm.domain.trace import Attempt
from farm.errors import Rejected

WAIT_S = 20.0
"""Seconds of one long poll."""
PAGE = 500
"""Items of one page."""
FAULTS = 3
"""Failed tasks whose errors are told of a job that failed."""

J = TypeVar("J", bound=JobAnswer)
Request = JobRequest | LikeRequest


class Questions(Generic[J]):
    """Questions whose jobs are made by `job`, of what the API sends."""

    def __init__(self, job: Callable[[Any], J]) -> None:
        self._job = job

    # --- jobs ---

    def submit(self, request: Request, key: str | None) -> Question[J]:
        """Submit a job, also one like another. It is repeated safely: without a key of the caller's it gets its own."""
        headers = {"Idempotency-Key": key or uuid4().hex}
        said = yield Call("POST", "/jobs", json=body_of(request), headers=headers, repeatable=True)
        return self._job(said)

    def validate(self, request: Request) -> Question[Validated]:
        """What a submission would become."""
        said = yield post("/jobs:validate", body_of(request))
        return Validated.model_validate(said)

    def job(self, job_id: str, wait_s: float = 0, since: int | None = None) -> Question[J]:
        """A job as it stands; with `wait_s` and `since` as soon as its revision is another."""
        said = yield get(f"/jobs/{job_id}", wait=wait_s or None, since=since)
        return self._job(said)

    def document(self, job_id: str) -> Question[dict[str, Any]]:
        """The same, with every field that the API sends."""
        said: dict[str, Any] = yield get(f"/jobs/{job_id}")
        return said

    def jobs(self, status: str | None, limit: int) -> Question[list[J]]:
        """The newest jobs first."""
        found = yield from pages("/jobs", {"status": status}, limit)
        return [self._job(item) for item in found]

    def act(self, job_id: str, body: Mapping[str, Any]) -> Question[tuple[int, J]]:
        """An action; the number of what is affected, and the job. Each of them may be said twice."""
        done = yield post(f"/jobs/{job_id}/actions", {name: value for name, value in body.items() if value})
        return int(done["affected"]), self._job(done["job"])

    def eat(
        self, job_id: str, tasks: Sequence[str], frame: int | None, chunk: int | None, reason: str
    ) -> Question[tuple[int, J]]:
        """Give up what failed."""
        named = {"tasks": list(tasks), "frame": frame, "chunk": chunk}
        which = {name: value for name, value in named.items() if value not in ([], None)}
        return (yield from self.act(job_id, {"action": "eat", "reason": reason, "filter": which}))

    def adjust(self, job_id: str, priority: int | None, max_workers: int | None, reason: str) -> Question[J]:
        """Change priority or the number of workers."""
        given = {"priority": priority, "max_workers": max_workers, "reason": reason or None}
        body = {name: value for name, value in given.items() if value is not None}
        said = yield Call("PATCH", f"/jobs/{job_id}", json=body, repeatable=True)
        return self._job(said)

    def delete(self, job_id: str, reason: str) -> Question[None]:
        """Remove a job that has ended."""
        yield Call("DELETE", f"/jobs/{job_id}", {"reason": reason or None})

    def recover_all(self, reason: str) -> Question[tuple[str, ...]]:
        """Rebuild in Redis what it lacks of the store's jobs."""
        found = yield Call("POST", "/jobs:recover", {"reason": reason or None}, repeatable=True)
        if found["failed"]:
            raise Rejected(
                f"{len(found['jobs'])} jobs are in Redis; these cannot be read: {'; '.join(found['failed'])}. "
                f"Remove them (farm job delete JOB), or run the version of the farm that they were made with."
            )
        return tuple(found["jobs"])

    def follow(self, job_id: str, on_change: Callable[[J], None], timeout_s: float | None) -> Question[J | None]:
        """Wait until a job has ended, telling of every change; None if it had not in time."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        since: int | None = None
        while True:
            left = WAIT_S if end is None else min(WAIT_S, end - time.monotonic())
            if left <= 0 and since is not None:
                return None
            now = yield from self.job(job_id, max(0.0, round(left, 3)) if since is not None else 0, since)
            if now.revision != since:
                on_change(now)
            if now.has_ended:
                return now
            since = now.revision

    def wait(self, job_id: str, on_change: Callable[[J], None], timeout_s: float | None) -> Question[J]:
        """Wait until a job is completed. Raises JobFailed, JobCanceled, StillRunning."""
        ended = yield from self.follow(job_id, on_change, timeout_s)
        if ended is None:
            now = yield from self.job(job_id)
            raise StillRunning(now, timeout_s or 0.0)
        if ended.status is JobState.FAILED:
            failed = yield from self.tasks(job_id, [TaskState.FAILED], "", None, PAGE)
            texts = dict.fromkeys(f"{task.id}: {task.error}" for task in failed if task.error)
            raise JobFailed(ended, tuple(texts)[:FAULTS])
        if ended.status is JobState.CANCELED:
            raise JobCanceled(ended)
        return ended

    # --- their parts ---

    def tasks(
        self, job_id: str, states: Sequence[str], layer: str, chunk: int | None, limit: int
    ) -> Question[list[TaskAnswer]]:
        """Tasks of the chunks in flight, and those that failed."""
        which = {"state": list(states) or None, "layer": layer or None, "chunk": chunk}
        found = yield from pages(f"/jobs/{job_id}/tasks", which, limit)
        return [TaskAnswer.model_validate(item) for item in found]

    def task(self, job_id: str, task: str) -> Question[TaskAnswer]:
        """One task, with all its attempts."""
        said = yield get(f"/jobs/{job_id}/tasks/{task}")
        return TaskAnswer.model_validate(said)

    def task_log(self, job_id: str, task: str) -> Question[list[TaskLog]]:
        """Logs of attempts at a task."""
        said = yield get(f"/jobs/{job_id}/tasks/{task}/log")
        return [TaskLog.model_validate(item) for item in said["items"]]

    def attempts(self, job_id: str) -> Question[list[Attempt]]:
        """Every attempt at a job's tasks that has ended."""
        text = yield Call("GET", f"/jobs/{job_id}/attempts", raw=True)
        return [Attempt.model_validate_json(line) for line in text.splitlines() if line]

    def frame(self, job_id: str, number: int) -> Question[FrameAnswer]:
        """One frame by its number."""
        said = yield get(f"/jobs/{job_id}/frames/{number}")
        return FrameAnswer.model_validate(said)

    def frames(self, job_id: str, limit: int) -> Question[list[FrameAnswer]]:
        """The job's first frames, in order."""
        found = yield from pages(f"/jobs/{job_id}/frames", {}, limit)
        return [FrameAnswer.model_validate(item) for item in found]

    def picture(self, job_id: str, number: int, of: str) -> Question[bytes]:
        """PNG of a frame: `input`, `final` or `compare`."""
        found: bytes = yield Call("GET", f"/jobs/{job_id}/frames/{number}/{of}", raw=True)
        return found

    def preview(self, job_id: str, number: int | None, of: str, width: int) -> Question[bytes]:
        """WebP of a frame, scaled down; of the last one that was made if no number is given."""
        path = f"/jobs/{job_id}/last-rendered" if number is None else f"/jobs/{job_id}/frames/{number}/preview"
        params = {"width": width, "of": of if number is not None else None}
        found: bytes = yield Call("GET", path, params, raw=True)
        return found

    # --- the farm ---

    def workers(self) -> Question[list[WorkerAnswer]]:
        """Workers that are alive."""
        found = yield from pages("/workers", {}, 10_000)
        return [WorkerAnswer.model_validate(item) for item in found]

    def drain(self, worker: str, reason: str, grace_s: float | None) -> Question[WorkerAnswer]:
        """Have a worker end."""
        said = yield post(f"/workers/{quote(worker, safe='')}/drain", {"reason": reason, "grace_s": grace_s})
        return WorkerAnswer.model_validate(said)

    def undrain(self, worker: str) -> Question[WorkerAnswer]:
        """Let it go on."""
        said = yield post(f"/workers/{quote(worker, safe='')}/undrain", None)
        return WorkerAnswer.model_validate(said)

    def models(self, kind: str | None) -> Question[list[ModelAnswer]]:
        """Models by name."""
        found = yield from pages("/models", {"kind": kind}, 10_000)
        return [ModelAnswer.model_validate(item) for item in found]

    def model(self, name: str) -> Question[tuple[ModelAnswer, list[ModelFileAnswer]]]:
        """A model and its files."""
        about = yield get(f"/models/{name}")
        files = yield get(f"/models/{name}/files")
        return ModelAnswer.model_validate(about), [ModelFileAnswer.model_validate(file) for file in files["files"]]


def pages(path: str, params: Mapping[str, Any], limit: int) -> Question[list[dict[str, Any]]]:
    """The first `limit` items of a list that is read page by page."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while len(found) < limit:
        page = yield get(path, **params, cursor=cursor, limit=min(limit - len(found), PAGE))
        found += page["items"]
        cursor = page.get("next_cursor")
        if not cursor:
            break
    return found


def body_of(request: Request) -> dict[str, Any]:
    """A request as it is sent: only what was set; the rest is the type's own default, which the farm knows."""
    return request.model_dump(mode="json", exclude_unset=True)
