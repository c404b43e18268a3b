"""What a job has made so far, and how a client asks only for what is new."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Literal

from pydantic import BaseModel

from api.views import ROOT
from farm.domain import keys
from farm.domain.job import Job
from farm.errors import Rejected
from farm.ports import Blobs

URL_S = 3600
"""Seconds for which a direct link to the store is valid."""
FILES = "f"
"""Begins the cursor of a page of files, behind all frames."""
_TOKEN = re.compile(r"^\d{1,9}(\.\d{1,9})*$")


class Output(BaseModel):
    """A file that a job has made: a final frame, the video, the SEGS document, the manifest, a segment's picture."""

    path: str
    """In the job's outputs, `frames/000060.png`."""
    kind: Literal["frame", "file"]
    sha256: str
    size: int
    url: str
    """Path of this API, or with `direct` a link to the store that needs no key."""
    number: int | None = None
    """Frames: as the user counts."""
    position: int | None = None
    """Frames: in the clip, from 0."""
    variation: int | None = None


class Outputs(BaseModel):
    """What is finished and was not told yet."""

    job: str
    status: str
    items: tuple[Output, ...]
    """Final frames, those of a chunk together; once the job has ended, its other files behind them."""
    next_cursor: str | None
    """Send it as `cursor` for the next page; null on the last one."""
    since: str
    """Send it as `since`, later, to be told only the frames that were finished after this answer."""


def known_chunks(since: str, total: int) -> set[int]:
    """The chunks of which a client was told. `12.14.15`: the first 12, and those numbered 14 and 15, from 0.

    Args:
        total: chunks of the job.
    Raises:
        Rejected: no such token.
    """
    if not since:
        return set()
    count, *others = (int(part) for part in since.split(".")) if _TOKEN.match(since) else (total + 1,)
    if count > total:
        raise Rejected(f"{since[:40]!r} is none of this job's marks; send back one of an earlier answer, or nothing.")
    return {*range(count), *others}


def token(chunks: Iterable[int]) -> str:
    """The opposite of `known_chunks`: short, whatever the number of chunks, since they finish nearly in order."""
    rest = sorted(set(chunks))
    count = 0
    while count < len(rest) and rest[count] == count:
        count += 1
    return ".".join(str(part) for part in (count, *rest[count:]))


def final_frames(
    job: Job, blobs: Blobs, known: set[int], limit: int, direct: bool
) -> tuple[list[Output], set[int], bool]:
    """Frames of finished chunks that are not in `known`, some `limit` of them; all chunks told then; whether more."""
    told, frames = set(known), list[Output]()
    for name in blobs.list(keys.chunk_prefix(job.id)):
        index = int(name.rsplit("/", 1)[1].partition(".")[0])
        if index in known:
            continue
        if len(frames) >= limit:
            return frames, told, True
        record = json.loads(blobs.get(name))
        frames += [_frame(job.id, entry, blobs, direct) for entry in record["frames"]]
        told.add(index)
    return frames, told, False


def other_files(job: Job, blobs: Blobs, after: str, limit: int) -> list[str]:
    """Objects of a job besides its frames, sorted: videos, documents, pictures of single segments."""
    videos = [keys.video(job.id, variation) for variation in range(job.batch_size)] if "video" in job.outputs else []
    single = (name for name in (*videos, keys.segs(job.id), keys.manifest(job.id)) if blobs.exists(name))
    folders = (keys.job(job.id, f"{folder}/") for folder in job.outputs if folder != "video")
    in_folders = (name for prefix in folders for name in islice(blobs.list(prefix, max(after, prefix)), limit))
    return sorted(name for name in {*single, *in_folders} if name > after)[:limit]


def output_file(job_id: str, name: str, digest: Callable[[str, int], str], blobs: Blobs, direct: bool) -> Output:
    """A file by its object's name; `digest` is given the name and the size."""
    size, url = blobs.size(name) or 0, _url(job_id, name, blobs, direct)
    return Output(path=_path(job_id, name), kind="file", sha256=digest(name, size), size=size, url=url)


def _frame(job_id: str, entry: dict[str, Any], blobs: Blobs, direct: bool) -> Output:
    name = str(entry["object"])
    return Output(
        path=_path(job_id, name),
        kind="frame",
        sha256=entry["sha256"],
        size=entry["size"],
        url=_url(job_id, name, blobs, direct),
        number=entry["number"],
        position=entry["position"],
        variation=entry["variation"],
    )


def _path(job_id: str, name: str) -> str:
    return name.removeprefix(keys.job(job_id, ""))


def _url(job_id: str, name: str, blobs: Blobs, direct: bool) -> str:
    link = blobs.url(name, URL_S) if direct else None
    return link or f"{ROOT}/jobs/{job_id}/outputs/{_path(job_id, name)}"
