"""The plan of a chunk: its detail tasks, what each reads and waits for, how its frames are pasted. Data, no code."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Region = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels, half-open."""


class PatchRef(BaseModel):
    """One patch of a task's output: member `crop` of the object that the task committed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    crop: Annotated[int, Field(ge=0)]


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
    last: After | None = None
    """In jobs that run in sequence: the last task up to the end of this chunk."""

    def task(self, task_id: str) -> DetailTask:
        """The task called `task_id`; KeyError if the plan has none."""
        for task in self.tasks:
            if task.id == task_id:
                return task
        raise KeyError(task_id)
