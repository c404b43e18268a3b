"""A job's frames, put together from what its plan and its finished chunks say."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from api.shapes import Answer
from api.views import ROOT
from farm.domain import keys
from farm.domain.job import Job
from farm.domain.plan import Plan
from farm.errors import NotFound
from farm.service.farm import Farm
from farm.service.skeleton import chunk_of, spans

FrameState = Literal["queued", "active", "completed", "failed", "left-out"]


class SegmentView(Answer):
    """One segment of a frame: what is repainted there."""

    source: str
    """Name of the mask or SEGS document that it comes from."""
    segment: int
    task: str
    """Id of the task that repaints it."""
    region: tuple[int, int, int, int]
    """x1, y1, x2, y2 of the crop, in pixels of the frame."""
    seed: int


class FrameView(Answer):
    """One frame of a job."""

    number: int
    """As the user counts."""
    position: int
    """In the clip, from 0."""
    name: str
    """File name of the output."""
    state: FrameState
    chunk: int
    sha256: str | None
    """Of the final picture's file, first variation."""
    size: int | None
    """Bytes of it."""
    segments: tuple[SegmentView, ...] = ()
    links: dict[str, str]


class Chunk(NamedTuple):
    """What the store has of a chunk: its plan, and once it is finished, its record."""

    number: int
    """From 0."""
    plan: Plan | None
    record: dict[str, Any] | None


class FrameReader:
    """Reads a job's frames. Costs one or two documents per chunk, whatever the clip's length."""

    def __init__(self, farm: Farm, job_id: str) -> None:
        self._farm = farm
        self.job: Job = farm.document(job_id)
        self._numbers: list[int] | None = None

    def position(self, number: int) -> int:
        """Position in the clip of a frame number. Raises NotFound, saying which numbers the job has."""
        job = self.job
        if job.input.kind == "pictures":
            numbers = self._picture_numbers()
            at = bisect_left(numbers, number)
            found = at if at < len(numbers) and numbers[at] == number else -1
        else:
            found = number - job.input.first_number
        if not job.start <= found < job.end:
            first, last = self.number(job.start), self.number(job.end - 1)
            raise NotFound(f"Job {job.id} has no frame {number}. It has the frames {first} to {last}.")
        return found

    def number(self, position: int) -> int:
        """Frame number at a position in the clip."""
        if self.job.input.kind == "pictures":
            return self._picture_numbers()[position]
        return self.job.input.first_number + position

    def frame(self, position: int) -> FrameView:
        """The frame at a position of the job's range."""
        return next(iter(self.frames(position, 1)))

    def frames(self, first: int, count: int) -> Iterator[FrameView]:
        """At most `count` frames from position `first` on."""
        last = min(first + count, self.job.end)
        while first < last:
            chunk = self.chunk(spans(self.job).owner(first))
            end = min(last, chunk_of(self.job, chunk.number).core_end)
            state = self._state(chunk)
            missing = set(chunk.plan.left_out if chunk.plan is not None and chunk.record is not None else ())
            for position in range(first, end):
                left_out = self.number(position) in missing
                yield self._view(position, chunk, "left-out" if left_out else state)
            first = end

    def input_blob(self, position: int) -> str:
        """Object with the decoded input frame. Raises NotFound while it is not yet decoded."""
        chunk = self.chunk(spans(self.job).owner(position))
        for frame in chunk.plan.frames if chunk.plan is not None else ():
            if frame.position == position:
                return keys.frame(frame.digest)
        raise NotFound(f"Frame {self.number(position)} of job {self.job.id} is not decoded yet. Ask again later.")

    def final_blob(self, position: int, variation: int = 0) -> str:
        """Object with the final frame. Raises NotFound while it is not finished."""
        record = _of(self.chunk(spans(self.job).owner(position)).record, position, variation)
        if record is None:
            which = f", variation {variation}," if variation else ""
            raise NotFound(
                f"Frame {self.number(position)}{which} of job {self.job.id} is not finished. Ask again later; "
                f"{ROOT}/jobs/{self.job.id} tells how far the job is."
            )
        return str(record["object"])

    def chunk(self, index: int) -> Chunk:
        """A chunk's documents, as far as they are there."""
        plan = self._get(keys.plan(self.job.id, index))
        record = self._get(keys.chunk(self.job.id, index))
        return Chunk(
            index,
            Plan.model_validate_json(plan) if plan is not None else None,
            json.loads(record) if record is not None else None,
        )

    def _view(self, position: int, chunk: Chunk, state: FrameState) -> FrameView:
        record = _of(chunk.record, position, 0)
        here = f"{ROOT}/jobs/{self.job.id}/frames/{self.number(position)}"
        links = {"self": here}
        if chunk.plan is not None:
            links["input"] = f"{here}/input"
        if record is not None:
            links |= {"final": f"{here}/final", "compare": f"{here}/compare"}
        return FrameView(
            number=self.number(position),
            position=position,
            name=self._name(position, chunk),
            state=state,
            chunk=chunk.number,
            sha256=record["sha256"] if record else None,
            size=record["size"] if record else None,
            segments=tuple(_segments(chunk.plan, position)),
            links=links,
        )

    def _state(self, chunk: Chunk) -> FrameState:
        if chunk.record is not None:
            return "completed"
        states = self._farm.ledger.chunk_states(self.job.id, [chunk.number])
        states_of: dict[str, FrameState] = {"open": "active", "failed": "failed", "done": "completed"}
        return states_of.get(states.get(chunk.number, ""), "queued")

    def _name(self, position: int, chunk: Chunk) -> str:
        for frame in chunk.plan.frames if chunk.plan is not None else ():
            if frame.position == position:
                return frame.name
        return ""

    def _picture_numbers(self) -> list[int]:
        if self._numbers is None:
            media = self._farm.documents.media(self.job.input.id)
            self._numbers = [picture.number for picture in media.pictures]
        return self._numbers

    def _get(self, name: str) -> bytes | None:
        try:
            return self._farm.blobs.get(name)
        except NotFound:
            return None


def _of(record: dict[str, Any] | None, position: int, variation: int) -> dict[str, Any] | None:
    frames: Iterable[dict[str, Any]] = record["frames"] if record is not None else ()
    for frame in frames:
        if frame["position"] == position and frame["variation"] == variation:
            return frame
    return None


def _segments(plan: Plan | None, position: int) -> Iterator[SegmentView]:
    for task in plan.tasks if plan is not None else ():
        for crop in task.crops:
            if crop.frame == position and task.variation == 0:
                yield SegmentView(
                    source=task.source, segment=crop.segment, task=task.id, region=crop.region, seed=crop.seed
                )
