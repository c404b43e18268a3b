"""Content keys of tasks and the names of objects: a bucket reads like a table of contents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

KEY_VERSION = 1
"""Part of every content key: raise it when the same inputs give other pixels."""

INGEST_GROUP = 16
"""Pictures that one ingest task reads, where the clip is a sequence of pictures."""
INGEST_RUN = 32
"""Frames of a video that one ingest task stores, at least."""
PARTS_OF_GROUP = 8
"""Ingest tasks per group of pictures at the most: each decodes from the group's beginning."""
SCAN_FRAMES = 512
"""Frames whose masks one scan task looks at."""


def content_key(kind: str, parts: Mapping[str, object]) -> str:
    """sha256 (hex) over a canonical JSON of `parts`; equal parts give equal keys on any machine."""
    text = json.dumps([KEY_VERSION, kind, parts], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def media_doc(media: str) -> str:
    """A Media document."""
    return f"media/{media}.json"


def media_blob(sha256: str) -> str:
    """Bytes that a user handed in."""
    return f"media/blobs/{sha256}"


def upload_part(sha256: str) -> str:
    """A part of a file that is being handed in."""
    return f"parts/{sha256}"


def frame(digest: str) -> str:
    """An ingested frame, by the digest of its pixels."""
    return f"frames/{digest}.png"


def ingest(key: str) -> str:
    """What an ingest task found: its frames and their digests."""
    return f"ingest/{key}.json"


def patches(key: str, digest: str) -> str:
    """A task's patches: one object, named by the task's key and the digest of its bytes."""
    return f"patches/{key}/{digest}.zip"


def made_key(planned: str, rungs: Sequence[str], below: Mapping[str, str]) -> str:
    """The key of patches that are not what was planned, but what could be had.

    Args:
        planned: the task's key in the plan; returned where the other two are empty.
        rungs: what the engine did otherwise for want of memory.
        below: of the patches that the task reads, those that were made under another key than the planned one:
            planned key -> the other.
    """
    if not rungs and not below:
        return planned
    return content_key("made", {"planned": planned, "rungs": sorted(rungs), "below": sorted(below.items())})


def key_of(output: str) -> str:
    """The key under which a task's patches were made, from the name of their object."""
    return output.split("/")[1] if output.startswith("patches/") else output


def done_prefix(key: str) -> str:
    """Where the completion records of a task lie; the first by name wins when a ledger is rebuilt."""
    return f"done/{key}/"


def done(key: str, digest: str) -> str:
    """A completion record: the last thing a detail task writes before it tells the ledger."""
    return f"{done_prefix(key)}{digest}.json"


def job(job_id: str, path: str) -> str:
    """An object of a job, by its path in the job's folder."""
    return f"jobs/{job_id}/{path}"


def job_doc(job_id: str) -> str:
    """The job as submitted and completed."""
    return job(job_id, "job.json")


def webhook_target(job_id: str) -> str:
    """Address and secret of a job's webhook; not in the job's folder, whose files may be downloaded."""
    return f"secrets/webhooks/{job_id}.json"


def waiting_notices(job_id: str | None = None) -> str:
    """Where notices on their way lie: of a job, of no job for "", or all of them."""
    return "notices/waiting/" if job_id is None else f"notices/waiting/{job_id or '~farm'}/"


def waiting_notice(job_id: str, delivery: str) -> str:
    """A notice on its way."""
    return f"{waiting_notices(job_id)}{delivery}.json"


def notices(job_id: str) -> str:
    """Notices of a job that were sent or given up; of the farm itself for ""."""
    return job(job_id, "notices.json") if job_id else "notices/farm.json"


def outputs_only(job_id: str) -> str:
    """Says that a job keeps its outputs and nothing that they were made of."""
    return job(job_id, "outputs-only.json")


def decision(job_id: str, stamp: str, action: str) -> str:
    """What a person decided about a job; read in order of names when a ledger is rebuilt."""
    return job(job_id, f"decisions/{stamp}-{action}.json")


def splits(job_id: str, chunk: int) -> str:
    """Where the records of a chunk's tasks lie that were split."""
    return job(job_id, f"splits/{chunk:06d}/")


def split(job_id: str, chunk: int, task: str) -> str:
    """Says that a task was split into its crops: written before the ledger hears of it."""
    return f"{splits(job_id, chunk)}{task}.json"


def plan(job_id: str, chunk: int) -> str:
    """The plan of a chunk."""
    return job(job_id, f"plans/{chunk:06d}.json")


def masks(job_id: str, digest: str) -> str:
    """The masks of a chunk's segments, by their content: chunks whose masks are alike share them."""
    return job(job_id, f"masks/{digest}.zip")


def attempts(job_id: str, name: str) -> str:
    """Attempts at a job's tasks, written down before the ledger forgets them."""
    return job(job_id, f"attempts/{name}")


def task_log(job_id: str, task: str, name: str) -> str:
    """What a worker said while it was at a task; without a name: where such objects of a task lie."""
    return job(job_id, f"logs/{task}/{name}.json" if name else f"logs/{task}/")


def segments(job_id: str) -> str:
    """The clip's segments, found by the scan of an `animatediff` job (with masks beside it)."""
    return job(job_id, "segments.json")


def detections(key: str) -> str:
    """What a detector found in a run of frames, by its content key: shared by jobs."""
    return f"detections/{key}.json"


def detection(job_id: str, source: str, number: int) -> str:
    """The same, of a job's detect task."""
    return job(job_id, f"detect/{source}/{number:06d}.json")


def detected(job_id: str, source: str) -> str:
    """What a detector found in the whole clip: a SEGS document."""
    return job(job_id, f"detect/{source}.json")


def scan(job_id: str, index: int) -> str:
    """What one scan task found: the union of its frames' masks."""
    return job(job_id, f"scan/{index:06d}.zip")


def chunk(job_id: str, number: int) -> str:
    """The digests of a finished chunk: written before the ledger hears of it."""
    return job(job_id, f"chunks/{number:06d}.json")


def chunk_prefix(job_id: str) -> str:
    """All finished chunks of a job."""
    return job(job_id, "chunks/")


def frames_folder(variation: int) -> str:
    """Folder of a variation's final frames, in the job's folder."""
    return "frames" if variation == 0 else f"frames-b{variation}"


def final(job_id: str, variation: int, name: str) -> str:
    """A final frame."""
    return job(job_id, f"{frames_folder(variation)}/{name}")


def video_part(job_id: str, variation: int, number: int) -> str:
    """A chunk's closed group of pictures."""
    return job(job_id, f"parts/b{variation}/{number:06d}.mp4")


def video(job_id: str, variation: int) -> str:
    """The finished video of a variation."""
    return job(job_id, "video.mp4" if variation == 0 else f"video-b{variation}.mp4")


def manifest(job_id: str) -> str:
    """Frame -> sha256, size, keys, and what made it all."""
    return job(job_id, "manifest.json")


def segs(job_id: str) -> str:
    """The segments as a SEGS document."""
    return job(job_id, "segs.json")
