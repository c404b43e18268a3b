"""A job in a coroutine's hand: `farm.client.job.Job`, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from farm.client.answers import FrameAnswer, JobAnswer, TaskAnswer
from farm.client.bars import OnBytes
from farm.client.events import Event
from farm.client.job import FrameList
from farm.client.notebook import PICTURE_PX, job_html
from farm.client.quiet import no_bytes
from farm.domain.task_log import TaskLog
from farm.domain.trace import Attempt

if TYPE_CHECKING:
    from farm.client.aio import AsyncFarm
    from farm.client.download import Downloaded


class AsyncJob(JobAnswer):
    """As `farm.client.job.Job`, with methods to be awaited; what it says there holds."""

    _farm: AsyncFarm = PrivateAttr()

    @classmethod
    def of(cls, farm: AsyncFarm, said: object) -> AsyncJob:
        """As `Job.of`."""
        job = cls.model_validate(said)
        job._farm = farm
        return job

    async def refresh(self) -> AsyncJob:
        """As `Job.refresh`."""
        return await self._farm.job(self.id)

    async def wait(self, timeout_s: float | None = None, *, progress: bool = False) -> AsyncJob:
        """As `Job.wait`."""
        return await self._farm.wait(self.id, timeout_s, progress=progress)

    def events(self, last_id: str = "") -> AsyncIterator[Event]:
        """What happens to it, until it has ended; see `Farm.events`."""
        return self._farm.events(self.id, last_id)

    async def list_frames(self, limit: int = 100) -> FrameList:
        """As `Job.list_frames`."""
        return await self._farm.frames(self.id, limit)

    async def frame(self, number: int) -> FrameAnswer:
        """As `Job.frame`."""
        return await self._farm.frame(self.id, number)

    async def picture(self, number: int, of: str = "final") -> bytes:
        """PNG of a frame: `input`, `final` or `compare`. Raises NotFound while it is not there."""
        return await self._farm.picture(self.id, number, of)

    async def preview(self, number: int | None = None, of: str = "final", width: int = PICTURE_PX) -> bytes:
        """WebP of a frame, scaled down; of the last one that was made if no number is given. Raises NotFound."""
        return await self._farm.preview(self.id, number, of, width)

    async def list_tasks(
        self, states: Sequence[str] = (), layer: str = "", chunk: int | None = None
    ) -> list[TaskAnswer]:
        """Tasks of the chunks in flight, and those that failed."""
        return await self._farm.tasks(self.id, states, layer, chunk)

    async def task_log(self, task: str) -> list[TaskLog]:
        """What workers logged in attempts at a task that ended badly."""
        return await self._farm.task_log(self.id, task)

    async def attempts(self) -> list[Attempt]:
        """As `Job.attempts`."""
        return await self._farm.attempts(self.id)

    async def download(
        self,
        folder: Path | str,
        *,
        only: Sequence[str] = (),
        sync: bool = False,
        progress: bool = False,
        on_bytes: OnBytes = no_bytes,
    ) -> Downloaded:
        """As `Job.download`."""
        return await self._farm.download(self.id, folder, only=only, sync=sync, progress=progress, on_bytes=on_bytes)

    async def pause(self, reason: str = "") -> AsyncJob:
        """Start no more of its tasks."""
        return (await self._farm.act(self.id, "pause", reason))[1]

    async def resume(self, reason: str = "") -> AsyncJob:
        """Let it go on."""
        return (await self._farm.act(self.id, "resume", reason))[1]

    async def cancel(self, reason: str = "") -> AsyncJob:
        """Stop it; finished frames stay."""
        return (await self._farm.act(self.id, "cancel", reason))[1]

    async def retry(self, reason: str = "") -> AsyncJob:
        """Try what failed, was canceled or eaten again."""
        return (await self._farm.act(self.id, "retry", reason))[1]

    async def eat(
        self, tasks: Sequence[str] = (), *, frame: int | None = None, chunk: int | None = None, reason: str = ""
    ) -> AsyncJob:
        """Give up what failed; see `Farm.eat`."""
        return (await self._farm.eat(self.id, tasks, frame=frame, chunk=chunk, reason=reason))[1]

    async def unblock(self, worker: str = "", reason: str = "") -> AsyncJob:
        """Let workers have its tasks again that they failed."""
        return (await self._farm.unblock(self.id, worker, reason))[1]

    async def adjust(self, priority: int | None = None, max_workers: int | None = None, reason: str = "") -> AsyncJob:
        """Change its priority, or how many workers it may have."""
        return await self._farm.adjust(self.id, priority, max_workers, reason)

    async def delete(self) -> None:
        """As `Job.delete`."""
        await self._farm.delete_job(self.id)

    def _repr_html_(self) -> str:
        return job_html(self, lambda number, of, width: self._farm.in_threads.preview(self.id, number, of, width))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ANN401, ARG002 - the signature of IPython's protocol
        return {"text/plain": repr(self), "text/html": self._repr_html_()}
