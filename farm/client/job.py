"""A job in a program's hand: how it stood when it was asked about, and what can be done with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from farm.client.answers import FrameAnswer, JobAnswer, TaskAnswer, WorkerAnswer
from farm.client.bars import OnBytes
from farm.client.events import Event
from farm.client.notebook import PICTURE_PX, Preview, frames_html, job_html, workers_html
from farm.client.quiet import no_bytes
from farm.domain.task_log import TaskLog
from farm.domain.trace import Attempt

if TYPE_CHECKING:
    from farm.client.download import Downloaded
    from farm.client.farm import Farm


class FrameList(list[FrameAnswer]):
    """Frames of a job; a notebook shows them before and after."""

    def __init__(self, frames: Sequence[FrameAnswer], preview: Preview) -> None:
        super().__init__(frames)
        self._preview = preview

    def _repr_html_(self) -> str:
        return frames_html(self, self._preview)


class WorkerList(list[WorkerAnswer]):
    """Workers; a notebook shows a table."""

    def _repr_html_(self) -> str:
        return workers_html(self)


class Job(JobAnswer):
    """A job as it stood when it was asked about. `refresh` asks again; what changes it gives the job as it is then."""

    _farm: Farm = PrivateAttr()

    @classmethod
    def of(cls, farm: Farm, said: object) -> Job:
        """A job of that farm, of what its API says."""
        job = cls.model_validate(said)
        job._farm = farm
        return job

    def refresh(self) -> Job:
        """The job as it stands now."""
        return self._farm.job(self.id)

    def wait(self, timeout_s: float | None = None, *, progress: bool = False) -> Job:
        """Wait until it is completed; see `Farm.wait`. Raises JobFailed, JobCanceled, StillRunning."""
        return self._farm.wait(self.id, timeout_s, progress=progress)

    def events(self, last_id: str = "") -> Iterator[Event]:
        """What happens to it, until it has ended; see `Farm.events`."""
        return self._farm.events(self.id, last_id)

    def list_frames(self, limit: int = 100) -> FrameList:
        """Its first frames, in order."""
        return self._farm.frames(self.id, limit)

    def frame(self, number: int) -> FrameAnswer:
        """One frame by its number."""
        return self._farm.frame(self.id, number)

    def picture(self, number: int, of: str = "final") -> bytes:
        """PNG of a frame: `input`, `final` or `compare`. Raises NotFound while it is not there."""
        return self._farm.picture(self.id, number, of)

    def preview(self, number: int | None = None, of: str = "final", width: int = PICTURE_PX) -> bytes:
        """WebP of a frame, scaled down; of the last one that was made if no number is given. Raises NotFound."""
        return self._farm.preview(self.id, number, of, width)

    def list_tasks(self, states: Sequence[str] = (), layer: str = "", chunk: int | None = None) -> list[TaskAnswer]:
        """Tasks of the chunks in flight, and those that failed."""
        return self._farm.tasks(self.id, states, layer, chunk)

    def task_log(self, task: str) -> list[TaskLog]:
        """What workers logged in attempts at a task that ended badly."""
        return self._farm.task_log(self.id, task)

    def attempts(self) -> list[Attempt]:
        """Every attempt at its tasks that has ended."""
        return self._farm.attempts(self.id)

    def download(
        self,
        folder: Path | str,
        *,
        only: Sequence[str] = (),
        sync: bool = False,
        progress: bool = False,
        on_bytes: OnBytes = no_bytes,
    ) -> Downloaded:
        """Fetch what it has made; see `Farm.download`."""
        return self._farm.download(self.id, folder, only=only, sync=sync, progress=progress, on_bytes=on_bytes)

    def pause(self, reason: str = "") -> Job:
        """Start no more of its tasks."""
        return self._farm.act(self.id, "pause", reason)[1]

    def resume(self, reason: str = "") -> Job:
        """Let it go on."""
        return self._farm.act(self.id, "resume", reason)[1]

    def cancel(self, reason: str = "") -> Job:
        """Stop it; finished frames stay."""
        return self._farm.act(self.id, "cancel", reason)[1]

    def retry(self, reason: str = "") -> Job:
        """Try what failed, was canceled or eaten again."""
        return self._farm.act(self.id, "retry", reason)[1]

    def eat(
        self, tasks: Sequence[str] = (), *, frame: int | None = None, chunk: int | None = None, reason: str = ""
    ) -> Job:
        """Give up what failed; see `Farm.eat`."""
        return self._farm.eat(self.id, tasks, frame=frame, chunk=chunk, reason=reason)[1]

    def unblock(self, worker: str = "", reason: str = "") -> Job:
        """Let workers have its tasks again that they failed."""
        return self._farm.unblock(self.id, worker, reason)[1]

    def adjust(self, priority: int | None = None, max_workers: int | None = None, reason: str = "") -> Job:
        """Change its priority, or how many workers it may have."""
        return self._farm.adjust(self.id, priority, max_workers, reason)

    def delete(self) -> None:
        """Remove it with its outputs, once it has ended."""
        self._farm.delete_job(self.id)

    def _repr_html_(self) -> str:
        return job_html(self, self.preview)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ANN401, ARG002 - the signature of IPython's protocol
        return {"text/plain": repr(self), "text/html": self._repr_html_()}
