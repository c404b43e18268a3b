"""The farm's service: submit, advance, decide, look. Given its ports, it holds no state that it could not lose."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from farm.domain import keys
from farm.domain.attachments import Packages
from farm.domain.job import Job, JobRequest
from farm.domain.media import Media
from farm.domain.model import ModelKind, ModelRef
from farm.domain.state import JOB_ENDED
from farm.domain.submission import Registry, complete
from farm.errors import Conflict, NotFound, Rejected
from farm.ports import Blobs, JobFacts, JobStatus, Ledger, Offer, Queue, TaskFilter, TaskStatus, WorkerStatus
from farm.service.advance import advance
from farm.service.documents import Documents, compact
from farm.service.eat import Meant, counted, meal, to_reopen
from farm.service.recover import recover_job
from farm.service.skeleton import chunks
from farm.service.waiting import why_waiting

UPLOAD = "upload:"
BLOCKED_JOBS = 200
"""Jobs that are looked at for blocked workers."""
IDEMPOTENCY_S = 7 * 24 * 3600
"""Seconds that an Idempotency-Key is remembered."""


@dataclass(frozen=True)
class Clock:
    """Where names and stamps come from, so that the service itself is pure."""

    new_id: Callable[[], str]
    """A job id; ids sort by time."""
    now: Callable[[], str]
    """UTC, ISO 8601 with microseconds."""


@dataclass(frozen=True)
class Outside:
    """What a farm knows of the world beyond its store: told by adapters when a job is submitted."""

    admit: Callable[[str], Media] | None = None
    """How `s3://…` inputs become media; None: they are not taken."""
    packages: Packages = field(default_factory=Packages)
    """What installed packages add."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """User -> share of the farm beside 1 of others."""


class Farm:
    """One farm: its store, its ledger, its queue."""

    def __init__(
        self,
        blobs: Blobs,
        ledger: Ledger,
        queue: Queue,
        clock: Clock,
        *,
        engine: str,
        window: int = 4,
        outside: Outside | None = None,
    ) -> None:
        """
        Args:
            engine: name and version of the engine of this farm's workers, part of every content key.
            window: chunks of a job that are in flight at once.
        """
        self.blobs = blobs
        self.ledger = ledger
        self.queue = queue
        self.documents = Documents(blobs)
        self._clock = clock
        self._engine = engine
        self._window = window
        self._outside = outside or Outside()

    def validate(self, request: JobRequest, user: str = "") -> Job:
        """The job that a request stands for, not submitted. Raises Rejected."""
        documents, packages = self.documents, self._outside.packages
        registry = Registry(media=self.media, model=documents.model, segs=documents.segs, packages=packages)
        stamp = self._clock.now()
        return complete(request, registry, job_id=self._clock.new_id(), created=stamp, user=user, engine=self._engine)

    def submit(self, request: JobRequest, user: str = "", idempotency_key: str = "") -> JobStatus:
        """Accept a job. Costs the same for any length of clip.

        The document is written before the ledger hears of it, the ledger before anything is offered.

        Raises:
            Rejected: the request cannot run, or the key was used for another request.
        """
        job = self.validate(request, user)
        self.blobs.put(keys.job_doc(job.id), job.model_dump_json().encode(), "application/json")
        if idempotency_key:
            body = hashlib.sha256(compact(request.model_dump(mode="json"))).hexdigest()
            job = self._first_of(job, user, idempotency_key, body)
        self.ledger.create(self._facts(job))
        self.advance(job.id)
        return self.ledger.status(job.id)

    def advance(self, job_id: str) -> None:
        """Let the job's next chunks in, or close it; what became ready is offered."""
        self.queue.send(advance(self.documents.job(job_id), self.ledger, self.documents, self._window))

    def act(self, job_id: str, action: str, reason: str = "", actor: str = "") -> JobStatus:
        """`pause`, `resume` or `cancel`. The decision is in the store before the ledger acts on it."""
        self.ledger.status(job_id)
        record = self._decide(job_id, action, reason, actor)
        try:
            status = self.ledger.act(job_id, action, reason, actor)
        except Rejected:
            self.blobs.delete([record])
            raise
        if action == "resume":
            self.queue.send(self.ledger.ready(job_id))
            self.advance(job_id)
            status = self.ledger.status(job_id)
        return status

    def retry(self, job_id: str, which: TaskFilter | None = None, reason: str = "", actor: str = "") -> int:
        """Try failed and canceled tasks again, and make again where something was eaten; the number of tasks that were
        reset."""
        job, status, meant = self.documents.job(job_id), self.ledger.status(job_id), which or TaskFilter()
        again = to_reopen(job, status, meant)
        found = counted(job, self.blobs, status.eaten, again)
        self._decide(job_id, "retry", reason, actor, reopened=again)
        if again:
            self.blobs.delete([keys.chunk(job_id, chunk) for chunk in again])
            self.ledger.reopen(job_id, found, reason, actor)
        count, offers = self.ledger.retry(job_id, meant, reason, actor)
        self.queue.send(offers)
        self.advance(job_id)
        return count + len(again)

    def eat(self, job_id: str, meant: Meant, reason: str = "", actor: str = "") -> int:
        """Give up what failed: the frames keep the input's pixels there, a frame that cannot be read is left out. The
        number of tasks that go on. Raises NotFound, Conflict, Rejected."""
        job = self.documents.job(job_id)
        self.ledger.status(job_id)
        what = meal(job, self.documents.media(job.input.id), meant, self.ledger, self.blobs)
        if not what.eaten and not what.again:
            return 0
        record = self._decide(job_id, "eat", reason, actor, tasks=what.tasks, frames=what.frames)
        try:
            count, offers = self.ledger.eat(job_id, what.eaten, what.again, (), reason, actor)
        except Rejected:
            self.blobs.delete([record])
            raise
        self.queue.send(offers)
        self.advance(job_id)
        return count

    def unblock(self, job_id: str, worker: str = "", reason: str = "", actor: str = "") -> int:
        """Let a worker ("": any) have tasks of the job again that it has failed; the number of blocks that are gone."""
        count = self.ledger.unblock(job_id, worker, reason, actor)
        self.queue.send(self.ledger.ready(job_id))
        return count

    def adjust(
        self,
        job_id: str,
        priority: int | None = None,
        max_workers: int | None = None,
        reason: str = "",
        actor: str = "",
    ) -> JobStatus:
        """Change a job's priority or the number of its workers while it runs. Raises NotFound, Rejected."""
        self.ledger.status(job_id)
        record = self._decide(job_id, "adjust", reason, actor, priority=priority, max_workers=max_workers)
        try:
            return self.ledger.adjust(job_id, priority, max_workers, reason, actor)
        except Rejected:
            self.blobs.delete([record])
            raise

    def recover(self, job_id: str) -> JobStatus:
        """Rebuild a job's place in the ledger from the store alone; finished chunks and patches are not made again."""
        job = self.documents.job(job_id)
        recover_job(job, self._facts(job), self.blobs, self.ledger)
        self.advance(job_id)
        return self.ledger.status(job_id)

    def stored_jobs(self) -> list[str]:
        """Ids of all jobs in the store, whether the ledger knows them or not."""
        return sorted({name.split("/")[1] for name in self.blobs.list("jobs/") if name.endswith("/job.json")})

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

    def _decide(self, job_id: str, action: str, reason: str, actor: str, **more: object) -> str:
        stamp = self._clock.now()
        record = {"action": action, "reason": reason, "actor": actor, "at": stamp, **more}
        name = keys.decision(job_id, stamp.replace(":", ""), action)
        self.blobs.put(name, compact(record), "application/json")
        return name

    def _facts(self, job: Job) -> JobFacts:
        return facts(job, self._outside.weights.get(job.user, 1.0))

    def _first_of(self, job: Job, user: str, key: str, body: str) -> Job:
        mine = f"{job.id} {body}"
        kept = self.ledger.remember(f"idempotency:{user}:{key}", mine, IDEMPOTENCY_S)
        if kept == mine:
            return job
        self.blobs.delete([keys.job_doc(job.id)])
        first, first_body = kept.split(" ")
        if first_body != body:
            raise Conflict(
                f"The Idempotency-Key {key!r} was used for another request, which became job {first}. "
                f"Use a new key for a new job."
            )
        try:
            return self.documents.job(first)
        except NotFound:
            raise Conflict(
                f"The Idempotency-Key {key!r} belongs to job {first}, which is gone. Use a new key."
            ) from None


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
        weight=weight,
    )
