"""Which tasks a job has before any pixel was looked at: ingest, scan, and the fixed tasks of every chunk."""

from __future__ import annotations

from collections.abc import Mapping

from farm.detail.spans import Chunk, Spans, animatediff_spans, mask_spans
from farm.domain.detailer import JobType
from farm.domain.detection import detect_run
from farm.domain.job import Job, Source
from farm.domain.keys import SCAN_FRAMES
from farm.domain.media import Media
from farm.domain.queues import CPU
from farm.domain.ranges import sources_between
from farm.domain.submission import mask_position
from farm.ports import NewTask
from farm.service.groups import numbers

WRAP = "wrap.0"
SEGMENTS = "segments.0"
TRACKS = "tracks.0"
SCANS_AHEAD = 8
"""Scans of a job that are in flight at once."""
DETECTS_AHEAD = 32
"""Detect tasks of a job that are in flight at once."""


def spans(job: Job) -> Spans:
    """How the job's frames are divided into chunks, as positions in the clip."""
    if job.type is not JobType.ANIMATEDIFF:
        return mask_spans(job.start, job.end, job.chunk)
    detailer = job.sources[0].detailer
    return animatediff_spans(job.start, job.end, detailer.context_length, detailer.context_overlap, job.chunk)


def chunks(job: Job) -> int:
    """Number of chunks of a job."""
    return spans(job).count


def chunk_of(job: Job, index: int) -> Chunk:
    """Core and run of a chunk, as positions in the clip."""
    return spans(job).chunk(index)


def ingest_id(media: str, use: str, group: int) -> str:
    """Id of the task that reads one group of a media: `use` is `frame` or `mask`."""
    return f"ingest.{use}-{media[:12]}.{group}"


def ingest_ids(media: Media, use: str, first: int, last: int) -> list[str]:
    """Ids of the ingest tasks that cover positions first .. last (inclusive)."""
    return [ingest_id(media.id, use, number) for number in numbers(media, first, last)]


def chunk_tasks(job: Job, index: int, media: Mapping[str, Media]) -> list[NewTask]:
    """The fixed tasks of a chunk; `media` has the long form of everything that the job reads, by id."""
    reads = chunk_reads(job, index, media)
    tasks = [_ingest(name) for name in reads]
    if job.type is JobType.DETECT:
        return [
            *tasks,
            NewTask(f"search.{index}", "detect", job.detect_queue, index, "detect", waits=tuple(reads), closes=True),
        ]
    waits = (*reads, SEGMENTS) if job.type is JobType.ANIMATEDIFF else tuple(reads)
    if job.detects:
        waits = (*waits, TRACKS)
    if job.sequential and index:
        # What a hook keeps goes from chunk to chunk.
        waits = (*waits, f"patched.{index - 1}")
    neighbors: tuple[str, ...] = ()
    if job.type is JobType.ANIMATEDIFF:
        neighbors = tuple(f"patched.{n}" for n in (index - 1, index + 1) if 0 <= n < chunks(job))
    encode = "video" in job.outputs
    tasks += [
        NewTask(f"plan.{index}", "plan", CPU, index, "plan", waits=waits),
        NewTask(f"patched.{index}", "barrier", "", index, waits=(f"plan.{index}",)),
        NewTask(
            f"paste.{index}",
            "paste",
            CPU,
            index,
            "paste",
            waits=(f"patched.{index}",),
            settles=neighbors,
            closes=not encode,
        ),
    ]
    if encode:
        tasks.append(NewTask(f"encode.{index}", "encode", CPU, index, "encode", waits=(f"paste.{index}",), closes=True))
    return tasks


def scan_tasks(job: Job, media: Mapping[str, Media], first: int = 0, count: int = SCANS_AHEAD) -> list[NewTask]:
    """Scans number `first` and on, at most `count`, with what they read: they find an `animatediff` job's segments,
    which belong to the whole clip. The first call adds the task that merges them all.

    Each scan adds the one `SCANS_AHEAD` further on when it ends, so that a clip of any length has few at a time.
    """
    starts = range(job.start, job.end, SCAN_FRAMES)
    tasks: dict[str, NewTask] = {}
    for number, start in list(enumerate(starts))[first : first + count]:
        end = min(job.end, start + SCAN_FRAMES)
        reads = [name for source in job.sources for name in _mask_reads(job, source, start, end, media)]
        for name in reads:
            tasks.setdefault(name, _ingest(name))
        waits = (*dict.fromkeys(reads), *((TRACKS,) if job.detects else ()))
        scan = NewTask(f"scan.{number}", "scan", CPU, layer="scan", waits=waits)
        tasks[scan.id] = scan
    if first == 0:
        scans = tuple(f"scan.{number}" for number in range(len(starts)))
        tasks[SEGMENTS] = NewTask(SEGMENTS, "scan", CPU, layer="scan", waits=scans)
    return list(tasks.values())


def detect_span(job: Job, task: str) -> tuple[int, int]:
    """Positions, half-open, that a detect task looks at, by its id."""
    number = int(task.split(".")[1])
    if job.type is JobType.DETECT:
        chunk = chunk_of(job, number)
        return chunk.core_start, chunk.core_end
    run = detect_run(job.frames)
    return job.start + number * run, min(job.end, job.start + (number + 1) * run)


def detects(job: Job) -> int:
    """Number of detect tasks of a job."""
    return chunks(job) if job.type is JobType.DETECT else -(-job.frames // detect_run(job.frames))


def detect_tasks(job: Job, media: Mapping[str, Media], first: int = 0, count: int = DETECTS_AHEAD) -> list[NewTask]:
    """Detect tasks number `first` and on, at most `count`, with what they read, of a job that goes on to repaint what
    they find. The first call adds the task that makes tracks of it all; each adds the one `DETECTS_AHEAD` further on.
    """
    total, tasks = detects(job), dict[str, NewTask]()
    for number in range(first, min(total, first + count)):
        name = f"detect.{number}"
        start, end = detect_span(job, name)
        reads = ingest_ids(media[job.input.id], "frame", start, end - 1)
        tasks |= {read: _ingest(read) for read in reads}
        tasks[name] = NewTask(name, "detect", job.detect_queue, layer="detect", waits=tuple(reads))
    if first == 0:
        waits = tuple(f"detect.{number}" for number in range(total))
        tasks[TRACKS] = NewTask(TRACKS, "detect", CPU, layer="detect", waits=waits)
    return list(tasks.values())


def wrap_task() -> NewTask:
    """The last task: joins the video, writes segs.json and the manifest, and ends the job."""
    return NewTask(WRAP, "encode", CPU, layer="wrap", final=True)


def chunk_reads(job: Job, index: int, media: Mapping[str, Media]) -> list[str]:
    """Ids of the ingest tasks that a chunk's plan waits for."""
    chunk = chunk_of(job, index)
    start, end = chunk.run_start, chunk.run_end
    reads = ingest_ids(media[job.input.id], "frame", start, end - 1)
    for source in sources_between(job, start, end):
        reads += _mask_reads(job, source, start, end, media)
        for use, looked_at in source.looks_at:
            reads += _read_for(job, media[looked_at.id], use, start, end)
    return list(dict.fromkeys(reads))


def _mask_reads(job: Job, source: Source, start: int, end: int, media: Mapping[str, Media]) -> list[str]:
    if source.kind != "mask":
        return []
    return _read_for(job, media[source.media.id], "mask", start, end)


def _read_for(job: Job, media: Media, use: str, start: int, end: int) -> list[str]:
    first = mask_position(media, job.input.frames, job.start, start)
    last = mask_position(media, job.input.frames, job.start, end - 1)
    return ingest_ids(media, use, first, last)


def _ingest(task_id: str) -> NewTask:
    return NewTask(task_id, "ingest", CPU, layer="ingest")
