"""What a job would do, had it been submitted: its chunks planned one after the other, and nothing stored.

A chunk that is as it was in the job that this one is like is not planned again: the keys of that job's plan are its
own. Memory is bounded: one chunk at a time, and counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from farm.detail.spans import stop_before
from farm.domain import keys
from farm.domain.detailer import JobType
from farm.domain.forecast import Count, Forecast, Sample, alike_to_gpu, estimate, work_of
from farm.domain.job import Job
from farm.domain.media import Media
from farm.domain.plan import After, DetailTask, Plan
from farm.domain.planning import plan_chunk
from farm.domain.ranges import OF_THE_CLIP, layers, sources_between
from farm.errors import BadFrame, NotFound, Rejected
from farm.ports import Blobs
from farm.service.advance import media_of
from farm.service.farm import Farm
from farm.service.groups import group_at
from farm.service.reading import document_name
from farm.service.skeleton import chunk_of, chunk_tasks, chunks, detect_tasks, scan_tasks
from workers.context import Tools
from workers.foresight import Foresight
from workers.steps.parts import done_output
from workers.steps.plan import planned_frames, see

SAMPLES = 64
"""Completion records that an estimate is reckoned from, at the most."""
JOBS_LOOKED_AT = 20
"""Newest jobs in which records are looked for where the job at hand has none."""
REASONS = 5
"""Reasons for what is unknown that are told."""
OF_OTHERS = frozenset(
    {"warnings", "max_workers"} | {"id", "name", "created", "user", "fps", "outputs", "priority", "max_attempts"}
)
"""What of a job has nothing to do with its plans."""
BY_CHUNK = frozenset({"overrides", "ranges", "sources", "gpu_queue"})
"""What is compared chunk by chunk, or with its details left out."""


class Forecaster:
    """Plans without storing. Safe for threads; each call has tools of its own."""

    def __init__(self, farm: Farm, blobs: Blobs, cache: Path, max_pixels: int) -> None:
        """
        Args:
            cache: folder for downloaded files.   max_pixels: largest picture that is decoded, in pixels.
        """
        self._farm = farm
        self._blobs = blobs
        self._cache = cache
        self._max_pixels = max_pixels

    def __call__(self, job: Job, like: Job | None) -> Iterator[int | Forecast]:
        """Chunks looked at so far, after each, and at last the forecast."""
        documents = self._farm.documents
        media = media_of(job, documents)
        before = {}
        if like is not None and like.input.kind == job.input.kind == "pictures":
            before[job.input.id] = documents.media(like.input.id)
        tools = Foresight(self._blobs, self._cache, self._max_pixels, media.values(), before)
        look = _Look(tools, job, media, like)
        for number in range(chunks(job)):
            look.chunk(number)
            yield number + 1
        whence = "what is done already"
        if not look.samples:
            whence, look.samples = self._recorded(tools, job)
        yield look.forecast(whence)

    def _recorded(self, tools: Tools, job: Job) -> tuple[str, dict[str, Sample]]:
        """Records of the newest job that has some, made by the same engine with the same model."""
        for status in self._farm.jobs(limit=JOBS_LOOKED_AT):
            try:
                other = tools.documents.job(status.facts.id)
            except NotFound:
                continue
            if not alike_to_gpu(job, other):
                continue
            found: dict[str, Sample] = {}
            for name in islice(self._blobs.list(keys.chunk_prefix(other.id)), SAMPLES):
                outputs = tools.json(name).get("outputs", {}).values()
                found |= {output: sample for output in outputs if (sample := _sample(tools, output)) is not None}
                if len(found) >= SAMPLES:
                    break
            if found:
                return f"job {other.id}", found
        return "", {}


class _Look:
    """What was seen of a job so far."""

    def __init__(self, tools: Tools, job: Job, media: Mapping[str, Media], like: Job | None) -> None:
        self.tools = tools
        self.job = job
        self.like = like
        self._comparable = like is not None and _comparable(job, like) and not job.sequential
        self._scanned = like is not None and _scanned(job) == _scanned(like)
        self.media = media
        self.tasks: Counter[tuple[str, bool]] = Counter()
        """(layer, whether it is done) -> tasks."""
        self.crops: Counter[tuple[str, bool]] = Counter()
        self.reasons: dict[str, None] = {}
        self.unknown_frames = 0
        self.work = 0
        self.samples: dict[str, Sample] = {}
        self.last: After | None = None
        self._ingests: set[str] = set()
        if job.detects and job.type is not JobType.DETECT:
            for task in detect_tasks(job, self.media, count=job.frames):
                self._fixed(task.id, task.layer)
        if job.type is JobType.ANIMATEDIFF:
            for task in scan_tasks(job, self.media, count=job.frames):
                self._fixed(task.id, task.layer)
        self._fixed("wrap", "wrap")

    def chunk(self, number: int) -> None:
        """Take in one chunk."""
        for task in chunk_tasks(self.job, number, self.media):
            if task.layer:
                self._fixed(task.id, task.layer)
        if self.job.type is JobType.DETECT:
            return
        try:
            tasks = self._detail_tasks(number)
        except (NotFound, BadFrame, Rejected) as error:
            self._unknown(number, error)
            return
        for detail in tasks:
            self._detail(detail)

    def forecast(self, whence: str) -> Forecast:
        """All that was seen."""
        return Forecast(
            frames=self.job.frames,
            chunks=chunks(self.job),
            tasks=_counts(self.tasks),
            crops=_counts(self.crops),
            unknown_frames=self.unknown_frames,
            unknown=tuple(islice(self.reasons, REASONS)),
            gpu=estimate(self.samples, whence, self.work, complete=not self.unknown_frames),
        )

    def _fixed(self, task: str, layer: str) -> None:
        """A task that is there before any pixel was looked at; ingest is shared by chunks and jobs."""
        if layer != "ingest":
            self.tasks[layer, False] += 1
        elif task not in self._ingests:
            self._ingests.add(task)
            self.tasks[layer, self.tools.blobs.exists(self._ingest_document(task))] += 1

    def _ingest_document(self, task: str) -> str:
        _, spec, number = task.split(".")
        use, start = spec.split("-")
        media = next(media for name, media in self.media.items() if name.startswith(start))
        return document_name(media, use, group_at(media, int(number)))

    def _detail_tasks(self, number: int) -> tuple[DetailTask, ...]:
        """Raises NotFound where something of the chunk was not looked at by a worker yet."""
        known = self._same_in_like(number)
        if known is not None:
            return known.tasks
        job, tools = self.job, self.tools
        chunk = chunk_of(job, number)
        frames, unreadable, _ = planned_frames(tools, job, chunk)
        chunk = stop_before(chunk, unreadable)
        # An `animatediff` job's segments are found by a scan: by that of the other job, where it is the same.
        seen_by = job.model_copy(update={"id": self.like.id}) if self.like is not None and self._scanned else job
        sights = [see(tools, seen_by, chunk, layer, frames) for layer in layers(job, chunk)]
        plan = plan_chunk(job, chunk, frames, sights[0].found, self.last, sights[0].looked, sights[1:]).plan
        self.last = plan.last
        return plan.tasks

    def _same_in_like(self, number: int) -> Plan | None:
        """The plan of the other job, if this chunk is the same there."""
        if self.like is None or not self._comparable:
            return None
        chunk = chunk_of(self.job, number)
        span = (chunk.run_start, chunk.run_end)
        if _seen_between(self.job, *span) != _seen_between(self.like, *span):
            return None
        try:
            # Not by way of what is kept in memory: each is read once.
            return Plan.model_validate_json(self.tools.blobs.get(keys.plan(self.like.id, number)))
        except NotFound:
            return None

    def _detail(self, detail: DetailTask) -> None:
        output = done_output(self.tools.blobs, detail.key)
        done = bool(output)
        self.tasks[f"detail:{detail.source}", done] += 1
        self.crops[detail.source, done] += len(detail.crops)
        if not done:
            self.work += work_of(self.job, detail)
        elif len(self.samples) < SAMPLES and (sample := _sample(self.tools, output)) is not None:
            self.samples[output] = sample

    def _unknown(self, number: int, error: Exception) -> None:
        chunk = chunk_of(self.job, number)
        self.unknown_frames += chunk.core_end - chunk.core_start
        if isinstance(error, NotFound):
            what = "masks not scanned" if self.job.type is JobType.ANIMATEDIFF and self.like is None else "not ingested"
            text = f"frames of the clip or of its masks are {what} yet: their segments are not known before they are"
            if self.job.detects:
                text = "no detector has looked at the clip yet: segments are not known before"
        else:
            text = str(error)
        self.reasons[text] = None


def _comparable(job: Job, other: Job) -> bool:
    """Whether two jobs have the same chunks and segments, but for what is said of single sources."""
    out = OF_OTHERS | BY_CHUNK
    return job.model_dump(exclude=set(out)) == other.model_dump(exclude=set(out))


def _seen_between(job: Job, start: int, end: int) -> list[Any]:
    """All that decides a plan of the frames [start, end), beyond what jobs that are comparable have in common."""
    # LoRAs count by content, as the source has them, not by name.
    plain = {"detailer": {"loras"}}
    ranges = [
        (max(piece.start, start), min(piece.end, end), piece.override)
        for piece in job.ranges
        if piece.start < end and start < piece.end
    ]
    numbers = {override: place for place, override in enumerate(sorted({one[2] for one in ranges}))}
    sources = [source.model_dump(exclude=plain) for source in sources_between(job, start, end)]
    return [sources, [(first, last, numbers[override]) for first, last, override in ranges]]


def _scanned(job: Job) -> list[Any]:
    """What decides the segments of a whole clip."""
    frames = [job.type, job.start, job.end, job.input.frames, job.input.width, job.input.height]
    return [
        frames,
        *(
            [source.name, source.kind, source.media.id, *(getattr(source.detailer, name) for name in OF_THE_CLIP)]
            for source in job.sources
        ),
    ]


def _sample(tools: Tools, output: str) -> Sample | None:
    """What it took to make patches, if that was recorded."""
    folder, _, digest = output.removeprefix("patches/").removesuffix(".zip").partition("/")
    record = tools.json_or_none(keys.done(folder, digest))
    return Sample.model_validate(record["took"]) if record and "took" in record else None


def _counts(tally: Counter[tuple[str, bool]]) -> dict[str, Count]:
    names = dict.fromkeys(name for name, _ in tally)
    return {name: Count(run=tally[name, False], cached=tally[name, True]) for name in names}
