"""The same farm for coroutines: the questions are those of `Farm`, what moves files runs in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from farm.adapters.model_registry import Added
from farm.client.address import address
from farm.client.ahttp import AsyncHttp
from farm.client.ajob import AsyncJob
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
from farm.client.bars import OnBytes, OnJob, frame_bar
from farm.client.download import Downloaded, Way
from farm.client.events import Event, listen_async
from farm.client.farm import Farm
from farm.client.http import PATIENCE_S
from farm.client.job import FrameList, WorkerList
from farm.client.notebook import PICTURE_PX
from farm.client.questions import Questions, Request
from farm.client.quiet import no_bytes, no_chunk, no_job
from farm.domain.forecast import Forecast
from farm.domain.task_log import TaskLog
from farm.domain.trace import Attempt


class AsyncFarm:
    """Speaks to one farm's API from one event loop. Each method is that of `Farm`, awaited; what it says there holds.

    Uploads, downloads, models and forecasts read and hash files: they run in threads, and so do their listeners.
    """

    def __init__(self, url: str | None = None, api_key: str | None = None, *, patience_s: float = PATIENCE_S) -> None:
        """
        Args:
            url: of the API, without `/api/v1`. Left out: FARM_URL and FARM_API_KEY, or a farm on this machine.
            patience_s: seconds for which a call is repeated while nothing answers.
        """
        url, api_key = address(url, api_key)
        self.http = AsyncHttp(url, api_key, patience_s=patience_s)
        self.in_threads = Farm(url, api_key, patience_s=patience_s)
        """The same farm, for what blocks."""
        self._do = self.http.do
        self._ask = Questions(self._job)

    async def __aenter__(self) -> AsyncFarm:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        self.in_threads.close()
        await self.http.close()

    def _job(self, said: object) -> AsyncJob:
        return AsyncJob.of(self, said)

    # --- jobs ---

    async def submit(self, request: Request, idempotency_key: str | None = None) -> AsyncJob:
        """As `Farm.submit`."""
        return await self._do(self._ask.submit(request, idempotency_key))

    async def validate(self, request: Request) -> Validated:
        """As `Farm.validate`."""
        return await self._do(self._ask.validate(request))

    async def plan(self, request: Request, on_chunk: Callable[[int], None] = no_chunk) -> Forecast:
        """As `Farm.plan`."""
        return await asyncio.to_thread(self.in_threads.plan, request, on_chunk)

    async def job(self, job_id: str, wait_s: float = 0, since: int | None = None) -> AsyncJob:
        """As `Farm.job`."""
        return await self._do(self._ask.job(job_id, wait_s, since))

    async def job_document(self, job_id: str) -> dict[str, Any]:
        """As `Farm.job_document`."""
        return await self._do(self._ask.document(job_id))

    async def jobs(self, status: str | None = None, limit: int = 50) -> list[AsyncJob]:
        """As `Farm.jobs`."""
        return await self._do(self._ask.jobs(status, limit))

    async def act(
        self, job_id: str, action: str, reason: str = "", which: Mapping[str, object] | None = None
    ) -> tuple[int, AsyncJob]:
        """As `Farm.act`."""
        return await self._do(self._ask.act(job_id, {"action": action, "reason": reason, "filter": dict(which or {})}))

    async def delete_job(self, job_id: str, reason: str = "") -> None:
        """As `Farm.delete_job`."""
        await self._do(self._ask.delete(job_id, reason))

    async def eat(
        self,
        job_id: str,
        tasks: Sequence[str] = (),
        *,
        frame: int | None = None,
        chunk: int | None = None,
        reason: str = "",
    ) -> tuple[int, AsyncJob]:
        """As `Farm.eat`."""
        return await self._do(self._ask.eat(job_id, tasks, frame, chunk, reason))

    async def unblock(self, job_id: str, worker: str = "", reason: str = "") -> tuple[int, AsyncJob]:
        """As `Farm.unblock`."""
        return await self._do(self._ask.act(job_id, {"action": "unblock", "worker": worker, "reason": reason}))

    async def adjust(
        self, job_id: str, priority: int | None = None, max_workers: int | None = None, reason: str = ""
    ) -> AsyncJob:
        """As `Farm.adjust`."""
        return await self._do(self._ask.adjust(job_id, priority, max_workers, reason))

    async def recover_all(self, reason: str = "") -> tuple[str, ...]:
        """As `Farm.recover_all`."""
        return await self._do(self._ask.recover_all(reason))

    async def tasks(
        self, job_id: str, states: Sequence[str] = (), layer: str = "", chunk: int | None = None, limit: int = 1000
    ) -> list[TaskAnswer]:
        """As `Farm.tasks`."""
        return await self._do(self._ask.tasks(job_id, states, layer, chunk, limit))

    async def task(self, job_id: str, task: str) -> TaskAnswer:
        """As `Farm.task`."""
        return await self._do(self._ask.task(job_id, task))

    async def task_log(self, job_id: str, task: str) -> list[TaskLog]:
        """As `Farm.task_log`."""
        return await self._do(self._ask.task_log(job_id, task))

    async def attempts(self, job_id: str) -> list[Attempt]:
        """As `Farm.attempts`."""
        return await self._do(self._ask.attempts(job_id))

    async def frame(self, job_id: str, number: int) -> FrameAnswer:
        """As `Farm.frame`."""
        return await self._do(self._ask.frame(job_id, number))

    async def frames(self, job_id: str, limit: int = 100) -> FrameList:
        """As `Farm.frames`."""
        found = await self._do(self._ask.frames(job_id, limit))
        return FrameList(found, lambda number, of, width: self.in_threads.preview(job_id, number, of, width))

    async def picture(self, job_id: str, number: int, of: str = "final") -> bytes:
        """As `Farm.picture`."""
        return await self._do(self._ask.picture(job_id, number, of))

    async def preview(
        self, job_id: str, number: int | None = None, of: str = "final", width: int = PICTURE_PX
    ) -> bytes:
        """As `Farm.preview`."""
        return await self._do(self._ask.preview(job_id, number, of, width))

    async def follow(self, job_id: str, on_change: OnJob, timeout_s: float | None = None) -> AsyncJob | None:
        """As `Farm.follow`."""
        return await self._do(self._ask.follow(job_id, on_change, timeout_s))

    async def wait(
        self, job_id: str, timeout_s: float | None = None, *, progress: bool = False, on_change: OnJob = no_job
    ) -> AsyncJob:
        """As `Farm.wait`."""
        with frame_bar(progress, on_change) as told:
            return await self._do(self._ask.wait(job_id, told, timeout_s))

    async def events(self, job_id: str | None = None, last_id: str = "", limit: int = 50) -> AsyncIterator[Event]:
        """As `Farm.events`: `async for event in farm.events(job_id)`."""
        path, params = (f"/jobs/{job_id}/events", {}) if job_id is not None else ("/events", {"limit": limit})
        async with aclosing(listen_async(self.http, path, params, last_id)) as heard:
            async for event in heard:
                yield event

    # --- what jobs need and make ---

    async def upload(self, path: Path | str, on_bytes: OnBytes = no_bytes, *, progress: bool = False) -> UploadAnswer:
        """As `Farm.upload`."""
        return await asyncio.to_thread(self.in_threads.upload, path, on_bytes, progress=progress)

    async def download(
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
        """As `Farm.download`. Canceled, it ends a download that follows its job; what is there is whole."""
        stop = way.stop or threading.Event()
        way = replace(way, stop=stop)
        try:
            return await asyncio.to_thread(
                self.in_threads.download,
                job_id,
                folder,
                way=way,
                only=only,
                sync=sync,
                progress=progress,
                on_bytes=on_bytes,
            )
        except asyncio.CancelledError:
            stop.set()
            raise

    # --- the farm itself ---

    async def workers(self) -> WorkerList:
        """As `Farm.workers`."""
        return WorkerList(await self._do(self._ask.workers()))

    async def drain(self, worker: str, reason: str = "", grace_s: float | None = None) -> WorkerAnswer:
        """As `Farm.drain`."""
        return await self._do(self._ask.drain(worker, reason, grace_s))

    async def undrain(self, worker: str) -> WorkerAnswer:
        """As `Farm.undrain`."""
        return await self._do(self._ask.undrain(worker))

    async def models(self, kind: str | None = None) -> list[ModelAnswer]:
        """As `Farm.models`."""
        return await self._do(self._ask.models(kind))

    async def model(self, name: str) -> tuple[ModelAnswer, list[ModelFileAnswer]]:
        """As `Farm.model`."""
        return await self._do(self._ask.model(name))

    async def verify_model(self, name: str) -> list[ModelCheck]:
        """As `Farm.verify_model`, all at once."""
        return await asyncio.to_thread(lambda: list(self.in_threads.verify_model(name)))

    async def add_model(
        self, name: str, path: Path, on_bytes: OnBytes = no_bytes, added: Added | None = None
    ) -> ModelAnswer:
        """As `Farm.add_model`."""
        return await asyncio.to_thread(self.in_threads.add_model, name, path, on_bytes, added)

    async def ready(self) -> tuple[bool, dict[str, Any]]:
        """As `Farm.ready`."""
        status, said = await self.http.health("/readyz")
        return status == httpx.codes.OK, said if isinstance(said, dict) else {}
