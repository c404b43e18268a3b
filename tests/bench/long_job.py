"""A job of any length that is nearly done, made without rendering: its documents, its place in a real ledger."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence

from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.pictures import encode_png
from farm.adapters.redis_ledger import RedisLedger
from farm.domain import keys
from farm.domain.job import InputRequest, Job, JobRequest, SegmentRequest
from farm.domain.media import Group, Media, Picture
from farm.domain.model import ModelRef
from farm.domain.plan import Crop, DetailTask, Plan, PlannedFrame
from farm.domain.state import Outcome
from farm.ports import NewTask, Offer
from farm.service.farm import Clock, Farm, facts
from farm.service.skeleton import chunk_of, chunks
from tests.unit.adapters.clips import pictures

WIDTH, HEIGHT = 320, 180
"""Pixels of the clip; what a preview costs is another matter."""
SOURCES = ("face", "hand")
DONE = 0.9
"""Share of the chunks that have ended well."""
FRAME = "f" * 64
"""Digest under which the one picture lies that all frames show."""


class NoQueue:
    """Nobody works here."""

    def send(self, offers: Sequence[Offer]) -> None:
        """Forget them."""


def farm_without_workers(ledger: RedisLedger) -> Farm:
    """A farm that submits and answers, and never renders."""
    blobs, count = MemoryBlobs(), itertools.count(1)
    model = ModelRef(name="demo", hash="ab" * 32)
    blobs.put("models/names/demo.json", model.model_dump_json().encode())
    blobs.put(keys.frame(FRAME), encode_png(next(pictures(1, WIDTH, HEIGHT))))
    clock = Clock(lambda: f"job-{next(count):04}", lambda: f"2026-01-02T03:04:05.{next(count):06}+00:00")
    return Farm(blobs, ledger, NoQueue(), clock, engine="fake/1")


def long_job(farm: Farm, frames: int) -> str:
    """A job of so many frames: nine tenths done, one chunk failed, some active; its id."""
    clip = Media(
        id=hashlib.sha256(str(frames).encode()).hexdigest(),
        kind="video",
        name=f"clip-{frames}.mp4",
        blob="media/blobs/none",
        width=WIDTH,
        height=HEIGHT,
        frames=frames,
        fps=(24, 1),
        groups=tuple(Group(start=at, frames=min(48, frames - at)) for at in range(0, frames, 48)),
    )
    mask = Media(
        id="m" * 64,
        kind="pictures",
        name="mask.png",
        width=WIDTH,
        height=HEIGHT,
        frames=1,
        pictures=(Picture(number=1, name="mask.png", blob=keys.frame(FRAME)),),
    )
    for media in (clip, mask):
        farm.blobs.put(keys.media_doc(media.id), media.model_dump_json().encode())
    segments = tuple(SegmentRequest(name=name, mask=f"upload:{mask.id}") for name in SOURCES)
    request = JobRequest(name=f"{frames} frames", input=InputRequest(uri=f"upload:{clip.id}"), segments=segments)
    job = farm.document(farm.submit(request).facts.id)
    _fill(farm, job)
    return job.id


def _fill(farm: Farm, job: Job) -> None:
    total = chunks(job)
    done = max(1, int(total * DONE))
    farm.ledger.forget(job.id)
    ended = [(number, job.chunk) for number in range(done) if number != done // 2]
    farm.ledger.create(facts(job), ended)
    for number in range(done):
        _store(farm, job, number)
    farm.advance(job.id)
    # The chunk in the middle that is left failed; a segment of the next ones is ready, one runs.
    for lease in iter(lambda: farm.ledger.claim("w", ("cpu",), None, 3600), None):
        if lease.kind != "plan":
            farm.ledger.finish(lease, "done")
        elif lease.chunk == done // 2:
            farm.ledger.fail(lease, Outcome.ERROR, "a frame cannot be read", None)
        else:
            farm.ledger.finish(lease, "done", _details(lease.chunk))
    farm.ledger.claim("w", ("gpu.0",), None, 3600)


def _details(chunk: int) -> list[NewTask]:
    return [
        NewTask(f"detail.{chunk}.{n}", "detail", "gpu.0", chunk, f"detail:{name}", feeds=(f"patched.{chunk}",))
        for n, name in enumerate(SOURCES)
    ]


def _detail(chunk: int, order: int, source: str, frames: Sequence[PlannedFrame]) -> DetailTask:
    region = (40 + 90 * order, 40, 120 + 90 * order, 120)
    crops = [
        Crop(frame=frame.position, region=region, bbox=region, size=(64, 64), seed=1, mask=0, segment=0)
        for frame in frames
    ]
    return DetailTask(id=f"detail.{chunk}.{order}", key="k", source=source, crops=tuple(crops))


def _store(farm: Farm, job: Job, number: int) -> None:
    """The plan and the record of a chunk that has ended well."""
    span = chunk_of(job, number)
    frames = [
        PlannedFrame(position=at, number=at + 1, name=f"{at + 1:06}.png", digest=FRAME)
        for at in range(span.core_start, span.core_end)
    ]
    tasks = tuple(_detail(number, order, name, frames) for order, name in enumerate(SOURCES))
    core = (span.core_start, span.core_end)
    plan = Plan(job=job.id, chunk=number, core=core, frames=tuple(frames), masks="", tasks=tasks, paste={})
    farm.blobs.put(keys.plan(job.id, number), plan.model_dump_json().encode())
    records = [
        {"number": frame.number, "position": frame.position, "name": frame.name, "variation": 0}
        | {"object": keys.frame(FRAME), "sha256": FRAME, "size": 1}
        for frame in frames
    ]
    document = {"chunk": number, "core_frames": len(frames), "frames": records}
    farm.blobs.put(keys.chunk(job.id, number), json.dumps(document).encode())
