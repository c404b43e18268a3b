"""Ingest: one group of a clip's frames, decoded once, into the store under the digests of their pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from farm.adapters.pictures import decode, decode_mask
from farm.adapters.video import decode_group
from farm.domain.job import Job
from farm.domain.media import Group, Media
from farm.errors import BadFrame, Rejected
from farm.service.documents import compact
from farm.service.groups import group_at, numbers
from farm.service.reading import document_name
from workers.context import StepResult, Task, Tools
from workers.steps.ordered import in_order


class IngestedFrame(TypedDict, total=False):
    """One entry of an ingest document."""

    position: int
    number: int
    name: str
    digest: str
    error: str


def ingest(task: Task, tools: Tools) -> StepResult:
    """Decode the group that the task's id names; `ingest/<key>.json` lists its frames, unreadable ones with an error.

    The key is made of the clip's content: a second job of the same clip finds the work done.
    """
    _, spec, number = task.id.split(".")
    use, media_start = spec.split("-")
    media = tools.media(_media_id(task.job, media_start))
    group = group_at(media, int(number))
    name = document_name(media, use, group)
    if not tools.blobs.exists(name):
        frames = list(_frames(task, tools, media, use, int(number)))
        tools.blobs.put(name, compact({"frames": frames}), "application/json")
    return StepResult(output=name)


def ingested(tools: Tools, media: Media, use: str, first: int, last: int) -> dict[int, IngestedFrame]:
    """What ingest found at the positions first .. last (inclusive) of a media."""
    found: dict[int, IngestedFrame] = {}
    for number in numbers(media, first, last):
        document = tools.lasting_json(document_name(media, use, group_at(media, number)))
        found.update({f["position"]: f for f in document["frames"] if first <= f["position"] <= last})
    return found


def frame_digest(frame: IngestedFrame, what: str) -> str:
    """The digest of a frame's pixels. Raises BadFrame, naming the frame, if it could not be read."""
    if "error" in frame:
        raise BadFrame(frame["number"], f"{what}{frame['error']}")
    return frame["digest"]


def _media_id(job: Job, start: str) -> str:
    for media in job.media:
        if media.id.startswith(start):
            return media.id
    raise Rejected(f"Job {job.id} reads no media that begins with {start!r}. Submit the job again.")


def _frames(task: Task, tools: Tools, media: Media, use: str, number: int) -> Iterator[IngestedFrame]:
    group = group_at(media, number)
    decoded = _of_video(tools, media, group) if media.kind == "video" else of_pictures(tools, media, group, use)
    entries = in_order(lambda one: entry(tools, media, use, *one), decoded)
    for done, found in enumerate(entries, 1):
        task.progress(done, group.frames)
        yield found


def entry(tools: Tools, media: Media, use: str, position: int, pixels: NDArray[np.uint8] | str) -> IngestedFrame:
    """What is told of one frame: its digest, the picture being kept, or why it cannot be used (`pixels` as text)."""
    found = named(media, position)
    if isinstance(pixels, str):
        found["error"] = pixels
    elif pixels.shape[:2] != (media.height, media.width):
        found["error"] = f"it is {pixels.shape[1]}x{pixels.shape[0]} px, the others are {media.width}x{media.height} px"
    else:
        # A mask in a video lies in its red channel, as in a picture.
        wanted = pixels[..., :1] if use == "mask" else pixels
        found["digest"] = tools.pictures.write(np.ascontiguousarray(wanted))
    return found


def named(media: Media, position: int) -> IngestedFrame:
    """A frame's number, and the name of its output."""
    picture = media.pictures[position] if media.pictures else None
    number = picture.number if picture else media.first_number + position
    name = f"{PurePosixPath(picture.name).stem}.png" if picture else f"{number:06d}.png"
    return IngestedFrame(position=position, number=number, name=name)


def of_pictures(tools: Tools, media: Media, group: Group, use: str) -> Iterator[tuple[int, NDArray[np.uint8] | str]]:
    """The pictures of a run, decoded; text where one cannot be."""

    def read(position: int) -> tuple[int, NDArray[np.uint8] | str]:
        try:
            data = tools.blobs.get(media.pictures[position].blob)
            if use == "mask":
                return position, np.rint(decode_mask(data, tools.max_pixels) * 255).astype(np.uint8)[..., None]
            pixels = decode(data, tools.max_pixels)
            return position, np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
        except Rejected as error:
            return position, str(error)

    return in_order(read, range(group.start, group.start + group.frames))


def _of_video(tools: Tools, media: Media, group: Group) -> Iterator[tuple[int, NDArray[np.uint8] | str]]:
    """The frames of a run, decoded from the beginning of the group of pictures that it lies in."""
    number = max(n for n, whole in enumerate(media.groups) if whole.start <= group.start)
    wanted = range(group.start, group.start + group.frames)
    seen = set()
    reason = "the decoder gave no picture for it"
    try:
        for position, pixels in decode_group(tools.file(media.blob), number):
            if position in wanted:
                seen.add(position)
                yield position, pixels
            if position >= wanted[-1]:
                break
    except BadFrame as error:
        reason = str(error)
    for position in wanted:
        if position not in seen:
            yield position, reason
