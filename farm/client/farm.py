"""A farm, as a program sees it: jobs, tasks, workers, models, uploads, outputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from farm.adapters.model_registry import Added
from farm.client.answers import (
    JobAnswer,
    ModelAnswer,
    ModelCheck,
    ModelFileAnswer,
    TaskAnswer,
    UploadAnswer,
    Validated,
    WorkerAnswer,
)
from farm.client.download import Downloaded, Downloader
from farm.client.http import PATIENCE_S, PREFIX, Http
from farm.client.models import add_model, model_files, verified
from farm.client.planned import planned
from farm.client.uploads import OnBytes, hand_in
from farm.domain.forecast import Forecast
from farm.domain.job import JobRequest
from farm.domain.like import LikeRequest
from farm.domain.trace import Attempt
from farm.errors import Rejected

WAIT_S = 20.0
"""Seconds of one long poll."""


def _ignore(sent: int, total: int) -> None:
    pass


def _silent(chunk: int) -> None:
    pass


class Farm:
    """Speaks to one farm's API. Safe for threads.

    Every call raises `Rejected` for a 4xx and `Unavailable` where nothing answers, with the API's own text. Calls that
    may be repeated are repeated for a while before that.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        patience_s: float = PATIENCE_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """
        Args:
            url: of the API, without `/api/v1`.
            patience_s: seconds for which a call is repeated while nothing answers.
            transport: another way to the API than the network, for tests.
        """
        self.http = Http(url, api_key, patience_s=patience_s, transport=transport)

    def __enter__(self) -> Farm:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self.http.close()

    # --- jobs ---

    def submit(self, request: JobRequest | LikeRequest, idempotency_key: str | None = None) -> JobAnswer:
        """Submit a job, also one like another (`LikeRequest`).

        It is repeated safely: without a key of the caller's it gets one of its own.
        """
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        return JobAnswer.model_validate(self.http.post("/jobs", _body(request), headers=headers, repeatable=True))

    def validate(self, request: JobRequest | LikeRequest) -> Validated:
        """What a submission would become; nothing is submitted."""
        return Validated.model_validate(self.http.post("/jobs:validate", _body(request), repeatable=True))

    def plan(self, request: JobRequest | LikeRequest, on_chunk: Callable[[int], None] = _silent) -> Forecast:
        """What a job would do, had it been submitted now; `on_chunk` hears how many of its chunks were looked at."""
        return planned(self.http, _body(request), on_chunk)

    def job(self, job_id: str, wait_s: float = 0, since: int | None = None) -> JobAnswer:
        """A job as it stands; with `wait_s` and `since` as soon as its revision is another than `since`."""
        return JobAnswer.model_validate(self.job_document(job_id, wait_s, since))

    def job_document(self, job_id: str, wait_s: float = 0, since: int | None = None) -> dict[str, Any]:
        """The same, with every field that the API sends."""
        found: dict[str, Any] = self.http.get(f"/jobs/{job_id}", {"wait": wait_s or None, "since": since})
        return found

    def jobs(self, status: str | None = None, limit: int = 50) -> list[JobAnswer]:
        """The newest jobs first, at most `limit`."""
        return [JobAnswer.model_validate(item) for item in self._pages("/jobs", {"status": status}, limit)]

    def act(
        self, job_id: str, action: str, reason: str = "", which: Mapping[str, object] | None = None
    ) -> tuple[int, JobAnswer]:
        """`cancel`, `pause`, `resume`, `retry` or `recover`; the number of tasks that are affected, and the job."""
        body = {"action": action, "reason": reason, **({"filter": dict(which)} if which else {})}
        # Each of them may be said twice.
        done = self.http.post(f"/jobs/{job_id}/actions", body, repeatable=True)
        return int(done["affected"]), JobAnswer.model_validate(done["job"])

    def delete_job(self, job_id: str) -> None:
        """Remove a job that has ended, with its outputs. Raises NotFound, Conflict."""
        self.http.send("DELETE", f"/jobs/{job_id}")

    def eat(
        self,
        job_id: str,
        tasks: Sequence[str] = (),
        *,
        frame: int | None = None,
        chunk: int | None = None,
        reason: str = "",
    ) -> tuple[int, JobAnswer]:
        """Give up what failed: tasks by their ids, or of one frame (by its number), or of one chunk. The frames keep
        the input's pixels there; one that cannot be read is left out. The number of tasks that go on, and the job.

        Raises:
            Conflict: what is named has not failed, or cannot be given up.
        """
        which = {"tasks": list(tasks), "frame": frame, "chunk": chunk}
        return self.act(
            job_id, "eat", reason, {name: value for name, value in which.items() if value not in ([], None)}
        )

    def unblock(self, job_id: str, worker: str = "", reason: str = "") -> tuple[int, JobAnswer]:
        """Let a worker (all, if left out) have tasks of the job again that it failed; the blocks that are gone."""
        body = {"action": "unblock", "worker": worker, "reason": reason}
        done = self.http.post(f"/jobs/{job_id}/actions", body, repeatable=True)
        return int(done["affected"]), JobAnswer.model_validate(done["job"])

    def adjust(
        self, job_id: str, priority: int | None = None, max_workers: int | None = None, reason: str = ""
    ) -> JobAnswer:
        """Change a job's priority (0 to 100), or how many workers may be at work on it (0: any number)."""
        given = {"priority": priority, "max_workers": max_workers, "reason": reason or None}
        body = {name: value for name, value in given.items() if value is not None}
        return JobAnswer.model_validate(self.http.patch(f"/jobs/{job_id}", body))

    def recover_all(self) -> tuple[str, ...]:
        """Rebuild in Redis every job of the store that it lacks; the jobs that it has now.

        Raises:
            Rejected: a job cannot be read; all others are there.
        """
        found = self.http.post("/jobs:recover", None, repeatable=True)
        if found["failed"]:
            raise Rejected(
                f"{len(found['jobs'])} jobs are in Redis; these cannot be read: {'; '.join(found['failed'])}. "
                f"Remove them (farm job delete JOB), or run the version of the farm that they were made with."
            )
        return tuple(found["jobs"])

    def tasks(
        self, job_id: str, states: Sequence[str] = (), layer: str = "", chunk: int | None = None, limit: int = 1000
    ) -> list[TaskAnswer]:
        """Tasks of the chunks in flight, and those that failed."""
        which = {"state": list(states) or None, "layer": layer or None, "chunk": chunk}
        return [TaskAnswer.model_validate(item) for item in self._pages(f"/jobs/{job_id}/tasks", which, limit)]

    def attempts(self, job_id: str) -> Iterator[Attempt]:
        """Every attempt at a job's tasks that has ended: who, when, and why it ended."""
        with closing(self.http.fetch(f"{PREFIX}/jobs/{job_id}/attempts")) as response:
            yield from (Attempt.model_validate_json(line) for line in response.iter_lines() if line)

    def frame(self, job_id: str, number: int) -> dict[str, Any]:
        """One frame by its number: its state and links to its pictures."""
        found: dict[str, Any] = self.http.get(f"/jobs/{job_id}/frames/{number}")
        return found

    def frames(self, job_id: str, limit: int = 100) -> list[dict[str, Any]]:
        """The job's first frames, in order: how each stands."""
        return list(self._pages(f"/jobs/{job_id}/frames", {}, limit))

    def follow(
        self, job_id: str, on_change: Callable[[JobAnswer], None], timeout_s: float | None = None
    ) -> JobAnswer | None:
        """Wait until a job has ended, telling of every change; None if it had not after `timeout_s` seconds."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        since: int | None = None
        while True:
            left = WAIT_S if end is None else min(WAIT_S, end - time.monotonic())
            if left <= 0 and since is not None:
                return None
            now = self.job(job_id, wait_s=max(0.0, round(left, 3)) if since is not None else 0, since=since)
            if now.revision != since:
                on_change(now)
            if now.has_ended:
                return now
            since = now.revision

    # --- what jobs need and make ---

    def upload(self, path: Path, on_bytes: OnBytes = _ignore) -> UploadAnswer:
        """Hand in a file or a folder of pictures; bytes that the farm has are not sent again."""
        return hand_in(self.http, path, on_bytes)

    def download(
        self,
        job_id: str,
        folder: Path,
        *,
        only: Sequence[str] = (),
        sync: bool = False,
        direct: bool = False,
        on_bytes: OnBytes = _ignore,
    ) -> Downloaded:
        """Fetch what a job has made into `folder`; files that are there with the same content are left alone.

        Args:
            only: folders or files of the job (`frames`, `video.mp4`); all if empty.
            direct: straight from the store, which this machine must be able to reach; else through the API.
            sync: also of a job that has not ended: what there is now; call again for the rest.
        Raises:
            Conflict: the job has not ended, and `sync` is False.
        """
        return Downloader(self.http, on_bytes).fetch(job_id, folder, only=only, sync=sync, direct=direct)

    # --- the farm itself ---

    def workers(self) -> list[WorkerAnswer]:
        """Workers that are alive."""
        return [WorkerAnswer.model_validate(item) for item in self._pages("/workers", {}, 10_000)]

    def drain(self, worker: str, reason: str = "", grace_s: float | None = None) -> WorkerAnswer:
        """Have a worker take nothing more, finish or hand back what it has, and end.

        Args:
            grace_s: seconds that it may take to finish; None: its own setting.
        Raises:
            NotFound: no such worker is alive.
        """
        body = {"reason": reason, "grace_s": grace_s}
        return WorkerAnswer.model_validate(
            self.http.post(f"/workers/{quote(worker, safe='')}/drain", body, repeatable=True)
        )

    def undrain(self, worker: str) -> WorkerAnswer:
        """Let a worker that was asked to end, and has not yet, go on. Raises NotFound."""
        return WorkerAnswer.model_validate(
            self.http.post(f"/workers/{quote(worker, safe='')}/undrain", None, repeatable=True)
        )

    def models(self, kind: str | None = None) -> list[ModelAnswer]:
        """Models by name, or those of one kind: `model`, `vae`, `lora`, `embedding`, `motion` ..."""
        return [ModelAnswer.model_validate(item) for item in self._pages("/models", {"kind": kind}, 10_000)]

    def model(self, name: str) -> tuple[ModelAnswer, list[ModelFileAnswer]]:
        """A model by name or hash, and its files."""
        return ModelAnswer.model_validate(self.http.get(f"/models/{name}")), model_files(self.http, name)

    def verify_model(self, name: str) -> Iterator[ModelCheck]:
        """Have the farm read a model's files anew; each as it was found."""
        return verified(self.http, name)

    def add_model(self, name: str, path: Path, on_bytes: OnBytes = _ignore, added: Added | None = None) -> ModelAnswer:
        """Add a model's folder or file under a name; files that the farm has are not sent again."""
        return add_model(self.http, name, path, added or Added(), on_bytes)

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether the API and the servers behind it answer, and what it says of each."""
        status, said = self.http.health("/readyz")
        return status == httpx.codes.OK, said if isinstance(said, dict) else {}

    def _pages(self, path: str, params: Mapping[str, Any], limit: int) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while limit > 0:
            page = self.http.get(path, {**params, "cursor": cursor, "limit": min(limit, 500)})
            yield from page["items"]
            limit -= len(page["items"])
            cursor = page.get("next_cursor")
            if not cursor:
                return


def _body(request: JobRequest | LikeRequest) -> dict[str, Any]:
    # Only what was set: the rest is the type's own default, which the farm knows.
    return request.model_dump(mode="json", exclude_unset=True)
