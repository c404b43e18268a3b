"""Overrides: what a source is over which frames. Resolved at submit, looked up by the plan. Pure.

A `mask` job's plan is laid over in layers, one per override: crops that an override does not touch stay in the batch
that they had without it, also where that batch lies half inside. So they keep their keys, and their bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from farm.detail.spans import Chunk
from farm.domain.detailer import JobType
from farm.domain.hooks import filters
from farm.domain.job import Job, JobRequest, Source, SourceRange
from farm.domain.media import Media
from farm.domain.segment_request import SegmentRequest, changed
from farm.errors import Rejected

OF_THE_CLIP = (
    *("crop_factor", "drop_size", "bbox_fill", "contour_fill", "wildcard", "follow"),
    *("context_length", "context_overlap", "context_schedule", "context_stride", "closed_loop"),
)
"""Parameters that decide the segments and windows of a whole `animatediff` job: they cannot differ between frames."""


@dataclass(frozen=True)
class LayerSpan:
    """A layer of a chunk's plan."""

    override: int
    """The last override that has acted; -1: none."""
    start: int
    end: int
    """Positions that it covers, half-open."""


@dataclass(frozen=True)
class _Asked:
    """An override whose frames were looked up."""

    number: int
    start: int
    end: int


def numbers_of(clip: Media) -> Sequence[int]:
    """The frame numbers of a clip, by position."""
    return [p.number for p in clip.pictures] or range(clip.first_number, clip.first_number + clip.frames)


def complete_ranges(
    request: JobRequest,
    clip: Media,
    span: tuple[int, int],
    positions: Callable[[str], tuple[int, int]],
    complete: Callable[[SegmentRequest], Source],
) -> tuple[SourceRange, ...]:
    """What a request's overrides make of its segments.

    Args:
        span: positions of the job's frames.
        positions: from frame numbers, `5000-5099`, to positions in the clip, half-open.
        complete: a segment's source.
    Raises:
        Rejected: an override names no segment of the job, or no frame of it.
    """
    asked = [_looked_up(number, request, clip, span, positions) for number in range(len(request.overrides))]
    found: list[SourceRange] = []
    for override in asked:
        wanted = request.overrides[override.number].segments
        for segment in request.segments:
            if wanted is None or segment.name in wanted:
                found += _pieces(request, segment, override, asked, complete)
    return tuple(found)


def check_moving(job: Job, clip: Media) -> None:
    """Refuses what an `animatediff` job cannot do: it samples chunks as a whole, and has one set of segments."""
    numbers = numbers_of(clip)
    for piece in job.ranges:
        base = job.source(piece.source.name)
        differ = [name for name in OF_THE_CLIP if getattr(piece.source.detailer, name) != getattr(base.detailer, name)]
        if piece.source.media != base.media:
            differ.append(base.kind)
        if filters(piece.source.detailer.hooks) != filters(base.detailer.hooks):
            differ.append("hooks (filters)")
        if differ:
            raise Rejected(
                f"Segment {base.name!r}: {', '.join(differ)} cannot differ between frames of an `animatediff` job, "
                f"whose segments belong to the whole clip. Change it for the whole job, or leave it out."
            )
    for number, override in enumerate(job.overrides):
        start = min(piece.start for piece in job.ranges if piece.override == number)
        end = max(piece.end for piece in job.ranges if piece.override == number)
        first = job.start + (start - job.start) // job.chunk * job.chunk
        last = min(job.end, job.start - (job.start - end) // job.chunk * job.chunk)
        if (first, last) != (start, end):
            raise Rejected(
                f"An override says frames {override.frames}; an `animatediff` job samples {job.chunk} frames together, "
                f"so that a change acts on whole chunks. Say frames {numbers[first]}-{numbers[last - 1]}."
            )


def piece_at(job: Job, name: str, frame: int, upto: int) -> int:
    """Number of the range whose parameters the source `name` has at a position; -1: its own.

    Args:
        upto: the last override that counts.
    """
    for number in range(len(job.ranges) - 1, -1, -1):
        piece = job.ranges[number]
        if piece.source.name == name and piece.override <= upto and piece.start <= frame < piece.end:
            return number
    return -1


def sources_between(job: Job, start: int, end: int) -> tuple[Source, ...]:
    """All that the job's sources are at positions of [start, end)."""
    ranges = [piece.source for piece in job.ranges if piece.start < end and start < piece.end]
    return (*job.sources, *ranges)


def layers(job: Job, chunk: Chunk) -> list[LayerSpan]:
    """The layers of a chunk's plan, undermost first; the first one covers the chunk.

    Overrides that cover a whole chunk take the place of what is below them. So do all in jobs whose batches are not
    made of single crops: `animatediff` ones, and those that run in sequence.
    """
    whole = (chunk.run_start, chunk.run_end)
    spans: dict[int, tuple[int, int]] = {}
    for piece in job.ranges:
        start, end = max(piece.start, whole[0]), min(piece.end, whole[1])
        if start < end:
            before = spans.get(piece.override, (start, end))
            spans[piece.override] = min(start, before[0]), max(end, before[1])
    if job.type is JobType.ANIMATEDIFF or job.sequential:
        return [LayerSpan(max(spans, default=-1), *whole)]
    base = -1
    over = [LayerSpan(number, *span) for number, span in sorted(spans.items())]
    while over and (over[0].start, over[0].end) == whole:
        base = over.pop(0).override
    return [LayerSpan(base, *whole), *over]


def _looked_up(
    number: int,
    request: JobRequest,
    clip: Media,
    span: tuple[int, int],
    positions: Callable[[str], tuple[int, int]],
) -> _Asked:
    override = request.overrides[number]
    names = [segment.name for segment in request.segments]
    unknown = sorted(set(override.segments or ()) - set(names))
    if unknown:
        raise Rejected(
            f"An override of frames {override.frames} names the segment {unknown[0]!r}; the job has: "
            f"{', '.join(names)}. Name one of those, or leave `segments` out for all."
        )
    start, end = positions(override.frames)
    start, end = max(start, span[0]), min(end, span[1])
    if start >= end:
        numbers = numbers_of(clip)
        raise Rejected(
            f"An override says frames {override.frames}; the job's frames are {numbers[span[0]]}-"
            f"{numbers[span[1] - 1]}. Say frames of the job, or take the override out."
        )
    return _Asked(number, start, end)


def _pieces(
    request: JobRequest,
    segment: SegmentRequest,
    override: _Asked,
    asked: Sequence[_Asked],
    complete: Callable[[SegmentRequest], Source],
) -> list[SourceRange]:
    """What an override makes of one segment: in pieces, where earlier ones cover a part of it."""
    below = [
        one
        for one in asked[: override.number]
        if segment.name in (request.overrides[one.number].segments or (segment.name,))
        and one.start < override.end
        and override.start < one.end
    ]
    borders = {override.start, override.end, *(one.start for one in below), *(one.end for one in below)}
    cuts = sorted(border for border in borders if override.start <= border <= override.end)
    found: list[SourceRange] = []
    for start, end in pairwise(cuts):
        made = segment
        for one in (*below, override):
            if one.start <= start and end <= one.end:
                made = changed(made, request.overrides[one.number].set)
        source = complete(made)
        if found and found[-1].source == source:
            start = found.pop().start
        found.append(SourceRange(override=override.number, start=start, end=end, source=source))
    return found
