"""The farm's service: submit, advance, decide, look. Given its ports, it holds no state that it could not lose."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from farm.domain import keys
from farm.domain.attachments import Packages
from farm.domain.chunk_length import WorkerSpeed
from farm.domain.job import Job, JobRequest
from farm.domain.like import LikeRequest
from farm.domain.media import Media
from farm.domain.model import ModelKind, ModelRef
from farm.domain.notices import WebhookTarget
from farm.domain.state import JOB_ENDED
from farm.domain.submission import WHOLE_CLIP_FRAMES, Registry, complete
from farm.errors import Conflict, NotFound, Rejected
from farm.ports import Blobs, JobFacts, JobStatus, Ledger, Offer, Queue, TaskFilter, TaskStatus, WorkerStatus
from farm.service.advance import advance, window_for
from farm.service.approval import checked, first_chunks
from farm.service.decide import Decisions
from farm.service.documents import Documents, compact
from farm.service.meant import meant
from farm.service.recover import recover_job
from farm.service.skeleton import chunks
from farm.service.waiting import why_waiting

UPLOAD = "upload:"
BLOCKED_JOBS = 200
"""Jobs that are looked at for blocked workers."""
IDEMPOTENCY_S = 7 * 24 * 3600
"""Seconds that an Idempotency-Key is remembered."""

COUNTED_FOR_S = 1.0
"""Seconds for which a number of live workers is believed: chunks end many times a second."""


@dataclass(frozen=True)
class Clock:
    """Where names and stamps come from, so that the service itself is pure."""

    new_id: Callable[[], str]
    """A job id; ids sort by time."""
    now: Callable[[], str]
    """UTC, ISO 8601 with microseconds."""


@dataclass(frozen=True)
class Bounds:
    """How much of a job is looked at together."""

    window: int | None = None
    """Chunks of a job that are in flight at once; None: enough for the workers that are alive."""
    whole_clip_frames: int = WHOLE_CLIP_FRAMES
    """Frames that one worker samples together at the most, where windows reach over a whole clip."""


@dataclass(frozen=True)
class Outside:
    """What a farm knows of the world beyond its store: told by adapters when a job is submitted."""

    admit: Callable[[str], Media] | None = None
    """How `s3://…` inputs become media; None: they are not taken."""
    packages: Packages = field(default_factory=Packages)
    """What installed packages add."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """User -> share of the farm beside 1 of others."""
    check_notices: Callable[[JobRequest], tuple[str, ...]] = lambda _: ()
    """What to warn of in the notices that a job asks for; raises Rejected."""


class Farm(Decisions):
    """One farm: its store, its ledger, its queue."""

    def __init__(
        self,
        blobs: Blobs,
        ledger: Ledger,
        queue: Queue,
        clock: Clock,
        *,
        engine: str,
        bounds: Bounds = Bounds(),
        outside: Outside | None = None,
    ) -> None:
        """
        Args:
            engine: name and version of the engine of this farm's workers, part of every content key.
        """
        self.blobs = blobs
        self.ledger = ledger
        self.queue = queue
        self.documents = Documents(blobs)
        self._clock = clock
        self._engine = engine
        self._bounds = bounds
        self._outside = outside or Outside()
        self._counted = float("-inf"), 0
        """When workers were counted, and the window for so many."""

    def validate(self, request: JobRequest | LikeRequest, user: str = "") -> Job:
        """The job that a request stands for, not submitted. Raises Rejected."""
        request = meant(request, self.documents)
        documents, packages = self.documents, self._outside.packages
        registry = Registry(
            media=self.media, model=documents.model, segs=documents.segs, packages=packages, workers=self._speeds
        )
        stamp = self._clock.now()
        job = complete(
            request,
            registry,
            job_id=self._clock.new_id(),
            created=stamp,
            user=user,
            engine=self._engine,
            whole_clip_frames=self._bounds.whole_clip_frames,
        )
        warnings = self._outside.check_notices(request)
        return checked(job.model_copy(update={"warnings": (*job.warnings, *warnings)}))

    def submit(
        self,
        request: JobRequest | LikeRequest,
        user: str = "",
        idempotency_key: str = "",
        admit: Callable[[Job], None] | None = None,
    ) -> JobStatus:
        """Accept a job. Costs the same for any length of clip.

        A key is kept with the job's id before anything is written, so that a call that is repeated goes on where the
        first one died. The document is written before the ledger hears of it, the ledger before anything is offered.

        Args:
            admit: has the last word before anything of a new job is written; what it raises is raised.
        Raises:
            Rejected: the request cannot run, or the key was used for another request.
        """
        request = meant(request, self.documents)
        job = self.validate(request, user)
        if idempotency_key:
            body = hashlib.sha256(compact(request.model_dump(mode="json"))).hexdigest()
            job = self._first_of(job, user, idempotency_key, body)
        if admit is not None and not (idempotency_key and self._is_known(job.id)):
            admit(job)
        if request.webhook:
            target = WebhookTarget(url=request.webhook.url, secret=request.webhook.secret)
            self.blobs.put(keys.webhook_target(job.id), target.model_dump_json().encode(), "application/json")
        self.blobs.put(keys.job_doc(job.id), job.model_dump_json().encode(), "application/json")
        self.ledger.create(self._facts(job))
        self.advance(job.id)
        return self.ledger.status(job.id)

    def advance(self, job_id: str) -> None:
        """Let the job's next chunks in, or close it; what became ready is offered."""
        self.queue.send(advance(self.documents.job(job_id), self.ledger, self.documents, self._window()))

    def _window(self) -> int:
        """Chunks of a job in flight, by the workers that were alive a moment ago."""
        if self._bounds.window:
            return self._bounds.window
        counted, window = self._counted
        if time.monotonic() >= counted + COUNTED_FOR_S:
            window = window_for(self.ledger.alive())
            self._counted = time.monotonic(), window
        return window

    def recover(self, job_id: str) -> JobStatus:
        """Rebuild a job's place in the ledger from the store alone; finished chunks and patches are not made again."""
        job = self.documents.job(job_id)
        recover_job(job, self._facts(job), self.blobs, self.ledger)
        self.advance(job_id)
        return self.ledger.status(job_id)

    def status(self, job_id: str) -> JobStatus:
        """Counts as the ledger keeps them. Raises NotFound."""
        return self.ledger.status(job_id)

    def why_waiting(self, status: JobStatus) -> str | None:
        """Why nothing of a job moves; None if nothing is known against it."""
        return why_waiting(self.documents.job(status.facts.id), status, self.ledger)

    def blocked(self) -> dict[str, list[str]]:
        """Worker -> `job/kind` of what it is given no more, of the newest jobs that have not ended."""
        found: dict[str, list[str]] = {}
        for status in self.ledger.jobs(limit=BLOCKED_JOBS):
            for block in status.blocked if status.state not in JOB_ENDED else ():
                found.setdefault(block.worker, []).append(f"{status.facts.id}/{block.kind}")
        return found

    def document(self, job_id: str) -> Job:
        """The job as it was submitted, completed with defaults. Raises NotFound."""
        return self.documents.job(job_id)

    def jobs(self, after: str = "", limit: int = 100) -> tuple[JobStatus, ...]:
        """Newest first."""
        return self.ledger.jobs(after, limit)

    def tasks(self, job_id: str, which: TaskFilter, after: str = "", limit: int = 200) -> tuple[TaskStatus, ...]:
        """Tasks that are planned and not yet shrunk into their chunk's document."""
        return self.ledger.tasks(job_id, which, after, limit)

    def task(self, job_id: str, task: str) -> TaskStatus:
        """Raises NotFound."""
        return self.ledger.task(job_id, task)

    def workers(self) -> tuple[WorkerStatus, ...]:
        """Workers that are alive."""
        return self.ledger.workers()

    def media(self, uri: str) -> Media:
        """What an upload URI (`upload:<id>`) or an `s3://…` prefix stands for. Raises Rejected."""
        if uri.startswith("s3://") and self._outside.admit is not None:
            return self._outside.admit(uri)
        if not uri.startswith(UPLOAD):
            raise Rejected(
                f"{uri!r} is not an address that the farm can read. Upload the file (POST /api/v1/uploads) and use the "
                f"`uri` of the answer, or give s3://bucket/prefix/ with numbered pictures."
            )
        return self.documents.media(uri.removeprefix(UPLOAD).split("/")[0])

    def models(self, kind: ModelKind | None = None) -> Sequence[ModelRef]:
        """Models by name, or those of one kind."""
        return self.documents.models(kind)

    def offer(self, offers: Sequence[Offer]) -> None:
        """Send what became ready."""
        self.queue.send(offers)

    def _now(self) -> str:
        return self._clock.now()

    def _facts(self, job: Job) -> JobFacts:
        return facts(job, self._outside.weights.get(job.user, 1.0))

    def _speeds(self) -> list[WorkerSpeed]:
        return [WorkerSpeed.reported(worker.queues, worker.info) for worker in self.ledger.workers()]

    def _is_known(self, job_id: str) -> bool:
        try:
            self.ledger.status(job_id)
        except NotFound:
            return False
        return True

    def _first_of(self, job: Job, user: str, key: str, body: str) -> Job:
        """The job that a key stands for: this one, or what an earlier call with it has written, or was to write."""
        kept = self.ledger.remember(f"idempotency:{user}:{key}", f"{job.id} {body}", IDEMPOTENCY_S)
        first, first_body = kept.split(" ")
        if first_body != body:
            raise Conflict(
                f"The Idempotency-Key {key!r} was used for another request, which became job {first}. "
                f"Use a new key for a new job."
            )
        if first == job.id:
            return job
        try:
            return self.documents.job(first)
        except NotFound:
            return job.model_copy(update={"id": first})


def facts(job: Job, weight: float = 1.0) -> JobFacts:
    """What the ledger keeps of a job's document; `weight`: share of its user."""
    return JobFacts(
        id=job.id,
        name=job.name,
        type=job.type.value,
        user=job.user,
        created=job.created,
        priority=job.priority,
        frames=job.frames,
        chunks=chunks(job),
        max_attempts=job.max_attempts,
        max_workers=job.max_workers,
        trial=len(first_chunks(job)),
        weight=weight,
    )
