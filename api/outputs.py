"""What a job has made so far, and how a client asks only for what is new."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence, Set
from datetime import datetime
from itertools import count
from typing import Any, NamedTuple

from api.shapes import Answer
from api.views import ROOT
from farm.domain import keys
from farm.domain.job import Job
from farm.errors import NotFound, Rejected
from farm.ports import Blobs

URL_S = 3600
"""Seconds for which a direct link to the store is valid."""
SETTLED_S = 60.0
"""Seconds after which a decision to make chunks again has surely been carried out: up to then such a chunk may still
be listed as it was, and is told again."""
_TOKEN = re.compile(r"^\d{1,9}(\.\d{1,9})*(@[0-9A-Za-z.+_-]{1,100})?$")


class OutputFrame(Answer):
    """A final frame."""

    number: int
    """As the user counts."""
    position: int
    """In the clip, from 0."""
    name: str
    variation: int
    path: str
    """In the job's outputs, `frames/000060.png`."""
    sha256: str
    size: int
    url: str
    """Path of this API, or with `direct` a link to the store that needs no key."""


class OutputFile(Answer):
    """Another file that the job has made: the video, the SEGS document, the manifest, a segment's picture."""

    path: str
    size: int
    sha256: str
    """Empty while the job runs, since the file may still change."""
    url: str


class Outputs(Answer):
    """What is finished and was not told yet."""

    job: str
    status: str
    frames: tuple[OutputFrame, ...]
    """Those of a chunk together, chunks in order."""
    files: tuple[OutputFile, ...]
    """Video, SEGS document, manifest, as far as they are there; with the last page of frames."""
    since: str
    """Send it back as `since` to be told only the frames that are not in this answer or those before, and those that
    were made again."""
    more: bool
    """True: ask again at once with `since`, there are more frames."""


class Told(NamedTuple):
    """What a client was told already."""

    chunks: frozenset[int] = frozenset()
    decision: str = ""
    """The last decision up to which nothing that it was told has been made again."""


def known(since: str, total: int) -> Told:
    """What a client was told, by its mark. `12.14.15@…`: the first 12 chunks, and those numbered 14 and 15, from 0.

    Args:
        total: chunks of the job.
    Raises:
        Rejected: no such mark.
    """
    if not since:
        return Told()
    if _TOKEN.match(since):
        chunks, _, decision = since.partition("@")
        count, *others = (int(part) for part in chunks.split("."))
        if count <= total:
            return Told(frozenset((*range(count), *others)), decision)
    raise Rejected(f"{since[:40]!r} is none of this job's marks; send back one of an earlier answer, or nothing.")


def token(told: Told) -> str:
    """The opposite of `known`: short, whatever the number of chunks, since they finish nearly in order."""
    rest = sorted(told.chunks)
    count = 0
    while count < len(rest) and rest[count] == count:
        count += 1
    chunks = ".".join(str(part) for part in (count, *rest[count:]))
    return f"{chunks}@{told.decision}" if told.decision else chunks


def still_so(job_id: str, told: Told, blobs: Blobs, now: float) -> Told:
    """What a client was told and need not be told again: without chunks that people have had made again since.

    Args:
        now: seconds since 1970.
    """
    prefix = keys.job(job_id, "decisions/")
    chunks, decision = set(told.chunks), told.decision
    for name in blobs.list(prefix, prefix + decision if decision else ""):
        if chunks and name.endswith("-retry.json"):
            chunks.difference_update(_made_again(name, blobs))
        if now - _taken(name) > SETTLED_S:
            decision = name.removeprefix(prefix)
    return Told(frozenset(chunks), decision)


def _made_again(decision: str, blobs: Blobs) -> Sequence[int]:
    try:
        reopened: Sequence[int] = json.loads(blobs.get(decision)).get("reopened", ())
    except NotFound:
        return ()  # the ledger refused it in this moment, so it was taken back
    return reopened


def _taken(decision: str) -> float:
    """When a decision was taken, by the stamp in its name: seconds since 1970."""
    stamp = decision.rsplit("/", 1)[1].rpartition("-")[0]
    try:
        return datetime.strptime(stamp, "%Y-%m-%dT%H%M%S.%f%z").timestamp()
    except ValueError:
        return 0.0


def final_frames(
    job: Job, blobs: Blobs, known: Set[int], limit: int, direct: bool
) -> tuple[list[OutputFrame], set[int], bool]:
    """Frames of finished chunks that are not in `known`, some `limit` of them; all chunks told then; whether more."""
    told, frames = set(known), list[OutputFrame]()
    first = next(number for number in count() if number not in known)
    after = keys.chunk(job.id, first - 1) if first else ""
    for name in blobs.list(keys.chunk_prefix(job.id), after):
        index = int(name.rsplit("/", 1)[1].partition(".")[0])
        if index in known:
            continue
        if len(frames) >= limit:
            return frames, told, True
        record = json.loads(blobs.get(name))
        frames += [_frame(job.id, entry, blobs, direct) for entry in record["frames"]]
        told.add(index)
    return frames, told, False


def single_files(job: Job, blobs: Blobs) -> list[str]:
    """Objects of the job's videos and documents, as far as they are there."""
    videos = [keys.video(job.id, variation) for variation in range(job.batch_size)] if "video" in job.outputs else []
    detected = [keys.detected(job.id, source.name) for source in job.sources if source.detect is not None]
    return [name for name in (*videos, *detected, keys.segs(job.id), keys.manifest(job.id)) if blobs.exists(name)]


def output_file(job_id: str, name: str, digest: Callable[[str, int], str], blobs: Blobs, direct: bool) -> OutputFile:
    """A file by its object's name; `digest` is given the name and the size."""
    size, url = blobs.size(name) or 0, _url(job_id, name, blobs, direct)
    return OutputFile(path=_path(job_id, name), size=size, sha256=digest(name, size), url=url)


def _frame(job_id: str, entry: dict[str, Any], blobs: Blobs, direct: bool) -> OutputFrame:
    name = str(entry["object"])
    return OutputFrame(
        number=entry["number"],
        position=entry["position"],
        name=entry["name"],
        variation=entry["variation"],
        path=_path(job_id, name),
        sha256=entry["sha256"],
        size=entry["size"],
        url=_url(job_id, name, blobs, direct),
    )


def _path(job_id: str, name: str) -> str:
    return name.removeprefix(keys.job(job_id, ""))


def _url(job_id: str, name: str, blobs: Blobs, direct: bool) -> str:
    link = blobs.url(name, URL_S) if direct else None
    return link or f"{ROOT}/jobs/{job_id}/outputs/{_path(job_id, name)}"
