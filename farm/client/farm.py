"""A farm, as a program sees it: jobs, tasks, workers, models, uploads, outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from farm.adapters.model_registry import Added
from farm.client.address import address
from farm.client.answers import (
    FrameAnswer,
    ModelAnswer,
    ModelCheck,
    ModelFileAnswer,
    TaskAnswer,
    UploadAnswer,
    Validated,
    WorkerAnswer,
)
from farm.client.bars import OnBytes, OnJob, byte_bar, frame_bar
from farm.client.download import Downloaded, Downloader, Way
from farm.client.events import Event, listen
from farm.client.http import PATIENCE_S, Http
from farm.client.job import FrameList, Job, WorkerList
from farm.client.models import add_model, verified
from farm.client.notebook import PICTURE_PX
from farm.client.planned import planned
from farm.client.questions import Questions, Request, body_of
from farm.client.quiet import no_bytes, no_chunk, no_job
from farm.client.uploads import hand_in
from farm.domain.forecast import Forecast
from farm.domain.task_log import TaskLog
from farm.domain.trace import Attempt


class Farm:
    """Speaks to one farm's API. Safe for threads.

    Every call raises `Rejected` for a 4xx and `Unavailable` where nothing answers, with the API's own text. Calls that
    may be repeated are repeated for a while before that. `AsyncFarm` is the same for coroutines.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        patience_s: float = PATIENCE_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """
        Args:
            url: of the API, without `/api/v1`. Left out: FARM_URL and FARM_API_KEY, or a farm on this machine.
            patience_s: seconds for which a call is repeated while nothing answers.
            transport: another way to the API than the network, for tests.
        """
        url, api_key = address(url, api_key)
        self.http = Http(url, api_key, patience_s=patience_s, transport=transport)
        self._do = self.http.do
        self._ask = Questions(self._job)

    def __enter__(self) -> Farm:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self.http.close()

    def _job(self, said: object) -> Job:
        return Job.of(self, said)

    # --- jobs ---

    def submit(self, request: Request, idempotency_key: str | None = None) -> Job:
        """Submit a job, also one like another (`LikeRequest`).

        It is repeated safely: without a key of the caller's it gets one of its own.
        """
        return self._do(self._ask.submit(request, idempotency_key))

    def validate(self, request: Request) -> Validated:
        """What a submission would become; nothing is submitted."""
        return self._do(self._ask.validate(request))

    def plan(self, request: Request, on_chunk: Callable[[int], None] = no_chunk) -> Forecast:
        """What a job would do, had it been submitted now; `on_chunk` hears how many of its chunks were looked at."""
        return planned(self.http, body_of(request), on_chunk)

    def job(self, job_id: str, wait_s: float = 0, since: int | None = None) -> Job:
        """A job as it stands; with `wait_s` and `since` as soon as its revision is another than `since`."""
        return self._do(self._ask.job(job_id, wait_s, since))

    def job_document(self, job_id: str) -> dict[str, Any]:
        """The same, with every field that the API sends."""
        return self._do(self._ask.document(job_id))

    def jobs(self, status: str | None = None, limit: int = 50) -> list[Job]:
        """The newest jobs first, at most `limit`."""
        return self._do(self._ask.jobs(status, limit))

    def act(
        self, job_id: str, action: str, reason: str = "", which: Mapping[str, object] | None = None
    ) -> tuple[int, Job]:
        """`cancel`, `pause`, `resume`, `retry`, `recover` and so on; the number of tasks that are affected, and the
        job."""
        return self._do(self._ask.act(job_id, {"action": action, "reason": reason, "filter": dict(which or {})}))

    def delete_job(self, job_id: str, reason: str = "") -> None:
        """Remove a job that has ended, with its outputs. Raises NotFound, Conflict."""
        self._do(self._ask.delete(job_id, reason))

    def eat(
        self,
        job_id: str,
        tasks: Sequence[str] = (),
        *,
        frame: int | None = None,
        chunk: int | None = None,
        reason: str = "",
    ) -> tuple[int, Job]:
        """Give up what failed: tasks by their ids, or of one frame (by its number), or of one chunk. The frames keep
        the input's pixels there; one that cannot be read is left out. The number of tasks that go on, and the job.

        Raises:
            Conflict: what is named has not failed, or cannot be given up.
        """
        return self._do(self._ask.eat(job_id, tasks, frame, chunk, reason))

    def unblock(self, job_id: str, worker: str = "", reason: str = "") -> tuple[int, Job]:
        """Let a worker (all, if left out) have tasks of the job again that it failed; the blocks that are gone."""
        return self._do(self._ask.act(job_id, {"action": "unblock", "worker": worker, "reason": reason}))

    def adjust(self, job_id: str, priority: int | None = None, max_workers: int | None = None, reason: str = "") -> Job:
        """Change a job's priority (0 to 100), or how many workers may be at work on it (0: any number)."""
        return self._do(self._ask.adjust(job_id, priority, max_workers, reason))

    def recover_all(self, reason: str = "") -> tuple[str, ...]:
        """Rebuild in Redis every job of the store that it lacks; the jobs that it has now.

        Raises:
            Rejected: a job cannot be read; all others are there.
        """
        return self._do(self._ask.recover_all(reason))

    def tasks(
        self, job_id: str, states: Sequence[str] = (), layer: str = "", chunk: int | None = None, limit: int = 1000
    ) -> list[TaskAnswer]:
        """Tasks of the chunks in flight, and those that failed."""
        return self._do(self._ask.tasks(job_id, states, layer, chunk, limit))

    def task(self, job_id: str, task: str) -> TaskAnswer:
        """One task, with all its attempts. Raises NotFound."""
        return self._do(self._ask.task(job_id, task))

    def task_log(self, job_id: str, task: str) -> list[TaskLog]:
        """What workers logged in attempts at a task that ended badly, in order; empty where nothing was kept."""
        return self._do(self._ask.task_log(job_id, task))

    def attempts(self, job_id: str) -> list[Attempt]:
        """Every attempt at a job's tasks that has ended: who, when, and why it ended."""
        return self._do(self._ask.attempts(job_id))

    def frame(self, job_id: str, number: int) -> FrameAnswer:
        """One frame by its number: its state and links to its pictures."""
        return self._do(self._ask.frame(job_id, number))

    def frames(self, job_id: str, limit: int = 100) -> FrameList:
        """The job's first frames, in order: how each stands. A notebook shows them before and after."""
        found = self._do(self._ask.frames(job_id, limit))
        return FrameList(found, lambda number, of, width: self.preview(job_id, number, of, width))

    def picture(self, job_id: str, number: int, of: str = "final") -> bytes:
        """PNG of a frame: `input`, `final`, or `compare` with both. Raises NotFound while it is not there."""
        return self._do(self._ask.picture(job_id, number, of))

    def preview(self, job_id: str, number: int | None = None, of: str = "final", width: int = PICTURE_PX) -> bytes:
        """WebP of a frame, scaled down; of the last one that was made if no number is given. Raises NotFound."""
        return self._do(self._ask.preview(job_id, number, of, width))

    def follow(self, job_id: str, on_change: OnJob, timeout_s: float | None = None) -> Job | None:
        """Wait until a job has ended, telling of every change; None if it had not after `timeout_s` seconds."""
        return self._do(self._ask.follow(job_id, on_change, timeout_s))

    def wait(
        self, job_id: str, timeout_s: float | None = None, *, progress: bool = False, on_change: OnJob = no_job
    ) -> Job:
        """Wait until a job is completed.

        Args:
            progress: draw a bar.
        Raises:
            JobFailed: with the errors of what failed.   JobCanceled: with who wanted it, and why.
            StillRunning: it has not ended after `timeout_s` seconds.
        """
        with frame_bar(progress, on_change) as told:
            return self._do(self._ask.wait(job_id, told, timeout_s))

    def events(self, job_id: str | None = None, last_id: str = "", limit: int = 50) -> Iterator[Event]:
        """What happens to a job, until it has ended; or on the whole farm, for as long as you listen.

        Connections that break are made anew, and go on with what was not heard.

        Args:
            last_id: `id` of the last event that was heard before.   limit: jobs that the farm's stream tells of.
        Raises:
            Unavailable: nothing answered for five minutes.
        """
        if job_id is not None:
            return listen(self.http, f"/jobs/{job_id}/events", {}, last_id)
        return listen(self.http, "/events", {"limit": limit}, last_id)

    # --- what jobs need and make ---

    def upload(self, path: Path | str, on_bytes: OnBytes = no_bytes, *, progress: bool = False) -> UploadAnswer:
        """Hand in a file or a folder of pictures; bytes that the farm has are not sent again."""
        with byte_bar(progress, f"upload {Path(path).name}", on_bytes) as told:
            return hand_in(self.http, Path(path), told)

    def download(
        self,
        job_id: str,
        folder: Path | str,
        *,
        way: Way = Way(),
        only: Sequence[str] = (),
        sync: bool = False,
        progress: bool = False,
        on_bytes: OnBytes = no_bytes,
    ) -> Downloaded:
        """Fetch what a job has made into `folder`; files that are there with the same content are left alone.

        Args:
            only: folders or files of the job (`frames`, `video.mp4`); all if empty.
            sync: keep the folder up to date while the job runs, and return when it has ended.
            way: what else there is to choose.
        Raises:
            Conflict: the job has not ended, and neither `sync` nor `way.partial` is set.
        """
        with byte_bar(progress, "download", on_bytes) as told:
            return Downloader(self.http, told, way).fetch(job_id, Path(folder), only=only, sync=sync)

    # --- the farm itself ---

    def workers(self) -> WorkerList:
        """Workers that are alive. A notebook shows a table."""
        return WorkerList(self._do(self._ask.workers()))

    def drain(self, worker: str, reason: str = "", grace_s: float | None = None) -> WorkerAnswer:
        """Have a worker take nothing more, finish or hand back what it has, and end.

        Args:
            grace_s: seconds that it may take to finish; None: its own setting.
        Raises:
            NotFound: no such worker is alive.
        """
        return self._do(self._ask.drain(worker, reason, grace_s))

    def undrain(self, worker: str) -> WorkerAnswer:
        """Let a worker that was asked to end, and has not yet, go on. Raises NotFound."""
        return self._do(self._ask.undrain(worker))

    def models(self, kind: str | None = None) -> list[ModelAnswer]:
        """Models by name, or those of one kind: `model`, `vae`, `lora`, `embedding`, `motion` ..."""
        return self._do(self._ask.models(kind))

    def model(self, name: str) -> tuple[ModelAnswer, list[ModelFileAnswer]]:
        """A model by name or hash, and its files."""
        return self._do(self._ask.model(name))

    def verify_model(self, name: str) -> Iterator[ModelCheck]:
        """Have the farm read a model's files anew; each as it was found."""
        return verified(self.http, name)

    def add_model(self, name: str, path: Path, on_bytes: OnBytes = no_bytes, added: Added | None = None) -> ModelAnswer:
        """Add a model's folder or file under a name; files that the farm has are not sent again."""
        return add_model(self.http, name, path, added or Added(), on_bytes)

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether the API and the servers behind it answer, and what it says of each."""
        status, said = self.http.health("/readyz")
        return status == httpx.codes.OK, said if isinstance(said, dict) else {}
