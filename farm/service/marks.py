"""What jobs refer to: the part of garbage collection that says what is not garbage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from farm.domain import keys
from farm.domain.job import Job
from farm.domain.media import Media
from farm.domain.plan import Plan
from farm.errors import NotFound
from farm.ports import Blobs
from farm.service.documents import Documents
from farm.service.groups import all_groups
from farm.service.reading import document_name


@dataclass
class Marks:
    """Everything that is referred to, by the first 64 bits of its digest or key: of two that have them in common,
    both are kept."""

    keys: set[int] = field(default_factory=set)
    """Of detail tasks."""
    frames: set[int] = field(default_factory=set)
    ingests: set[int] = field(default_factory=set)
    media: set[int] = field(default_factory=set)
    reading: list[str] = field(default_factory=list)
    """Jobs of which not all pictures were ingested yet."""

    def holds(self, kind: set[int], name: str) -> bool:
        """Whether an object, named `<folder>/<digest or key>…`, is referred to."""
        return short(name.split("/")[1]) in kind


def short(name: str) -> int:
    """The first 64 bits of a digest or key; of any other name, a number that no digest has."""
    try:
        return int(name[:16], 16)
    except ValueError:
        return -1


def mark_keys(job_id: str, blobs: Blobs, marks: Marks) -> None:
    """What the plans and the finished chunks of a job refer to."""
    for name in blobs.list(keys.job(job_id, "plans/")):
        plan = _read(blobs, name)
        if plan is not None:
            marks.keys |= {short(task.key) for task in Plan.model_validate_json(plan).tasks}
    for name in blobs.list(keys.chunk_prefix(job_id)):
        document = _read(blobs, name)
        if document is not None:
            # What was made for want of memory lies under keys that no plan names.
            outputs = json.loads(document).get("outputs", {}).values()
            marks.keys |= {short(output.split("/")[1]) for output in outputs if output.startswith("patches/")}


def mark_pictures(job: Job, documents: Documents, marks: Marks) -> None:
    """The media that a job reads, and all that was ingested of them."""
    complete = True
    for short_form in job.media:
        marks.media.add(short(short_form.id))
        if short_form.kind == "segs":
            continue
        try:
            media = documents.media(short_form.id)
        except NotFound:
            continue  # handed in again it would have the same id; what was ingested of it is in no list
        for use in _uses(job, media):
            complete &= _mark_ingested(media, use, documents.blobs, marks)
    if not complete:
        marks.reading.append(job.id)


def _uses(job: Job, media: Media) -> Iterator[str]:
    looked_at = {(use, one.id) for source in job.all_sources for use, one in source.looks_at}
    masks = {("mask", source.media.id) for source in job.all_sources if source.kind == "mask"}
    for use in ("frame", "mask"):
        if (use, media.id) in looked_at | masks | {("frame", job.input.id)}:
            yield use


def _mark_ingested(media: Media, use: str, blobs: Blobs, marks: Marks) -> bool:
    """Whether all of a media has been ingested for a use; what has been is marked."""
    complete = True
    for group in all_groups(media):
        name = document_name(media, use, group)
        mark = short(name.split("/")[1])
        if mark in marks.ingests:
            continue
        document = _read(blobs, name)
        complete &= document is not None
        if document is not None:
            marks.ingests.add(mark)
            found = json.loads(document)["frames"]
            marks.frames |= {short(frame["digest"]) for frame in found if "digest" in frame}
    return complete


def _read(blobs: Blobs, name: str) -> bytes | None:
    try:
        return blobs.get(name)
    except NotFound:
        return None
