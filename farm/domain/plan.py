"""The plan of a chunk: its detail tasks, what each reads and waits for, how its frames are pasted. Data, no code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Region = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels, half-open."""


class PatchRef(BaseModel):
    """One patch of a task's output: member `crop` of the object that the task committed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    crop: Annotated[int, Field(ge=0)]


def part_id(task: str, crop: int) -> str:
    """Id of the task that takes the place of one crop of a task that was split."""
    return f"{task}.{crop}"


class PlannedFrame(BaseModel):
    """A frame of the chunk's run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    position: int
    """In the clip, from 0."""
    number: int
    name: str
    """Name of the output file, without folder."""
    digest: str
    """sha256 of the decoded pixels; the picture lies at `frames/<digest>.png`."""


class After(BaseModel):
    """The task whose hooks' state another one takes up, in jobs that run in sequence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chunk: int
    task: str
    key: str


class Crop(BaseModel):
    """One segment of one frame, to be cut out and repainted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frame: int
    """Position of the frame in the clip."""
    region: Region
    bbox: tuple[float, float, float, float]
    size: tuple[int, int]
    """Width, height in pixels at which it is sampled."""
    seed: int
    mask: int
    """Member of the chunk's mask object; pixels at crop size."""
    segment: int
    """Index of the segment in its source, skipped ones counted."""
    under: tuple[PatchRef, ...] = ()
    """Patches that are pasted, in this order, before the crop is cut."""
    prompt: tuple[str, ...] = ()
    """Texts whose conditionings are laid one behind the other; none: the detailer's prompt."""
    toward: tuple[str, ...] = ()
    """Texts that it fades into."""
    share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """How far it has faded into them."""
    pictures: tuple[str, ...] = ()
    """Digests of what its source looks at besides, for this frame (`Source.looks_at`)."""


class DetailTask(BaseModel):
    """A batch of crops of one source, sampled at one size with one set of parameters: one GPU call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    key: str
    """Content key: sha256 (hex) over all that determines the patches."""
    source: str
    piece: int = -1
    """Which of the job's `ranges` its parameters are those of; -1: of the source itself."""
    label: str = "A"
    confidence: float = 1.0
    variation: int = 0
    waits: tuple[str, ...] = ()
    after: After | None = None
    """In jobs that run in sequence: the task before it, of this chunk or an earlier one."""
    values: dict[str, float | str] = {}
    """What parameters with key frames are here."""
    crops: tuple[Crop, ...]


class Plan(BaseModel):
    """All of a chunk. Pure: the same inputs give the same plan on any machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    chunk: int
    core: tuple[int, int]
    """Positions of the frames that this chunk delivers, half-open."""
    frames: tuple[PlannedFrame, ...]
    """The run: the core and, in `animatediff` jobs, its halo; in order."""
    masks: str
    """Name of the object with the segments' masks; empty if there are none."""
    tasks: tuple[DetailTask, ...]
    paste: dict[int, tuple[tuple[PatchRef, ...], ...]]
    """Frame position -> per variation, the patches in the order in which they are pasted."""
    warnings: tuple[str, ...] = ()
    left_out: tuple[int, ...] = ()
    """Numbers of frames of the core that cannot be read and were given up."""
    last: After | None = None
    """In jobs that run in sequence: the last task up to the end of this chunk."""

    def task(self, task_id: str) -> DetailTask:
        """The task called `task_id`; KeyError if the plan has none."""
        for task in self.tasks:
            if task.id == task_id:
                return task
        raise KeyError(task_id)

    def part(self, task_id: str) -> DetailTask:
        """The task called `task_id`, of the plan or split off one of its tasks; KeyError if there is none.

        A part's key is that of its task, which is not its own.
        """
        if task_id.count(".") < 3:
            return self.task(task_id)
        whole, _, crop = task_id.rpartition(".")
        task = self.task(whole)
        alone = task.crops[int(crop)]
        waits = tuple(name for name in task.waits if name in {ref.task for ref in alone.under})
        return task.model_copy(update={"id": task_id, "crops": (alone,), "waits": waits})


def read_tasks(
    tasks: Sequence[DetailTask], paste: Mapping[int, Sequence[Sequence[PatchRef]]]
) -> tuple[DetailTask, ...]:
    """Those whose patches are pasted, or cut through by a task that is read; in their order."""
    read = {ref.task for row in paste.values() for refs in row for ref in refs}
    for task in reversed(tasks):  # each comes after those that it waits for
        if task.id in read:
            read.update(task.waits)
    return tuple(task for task in tasks if task.id in read)
