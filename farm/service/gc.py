"""Garbage collection: patches, completion records, frames and media that no kept job refers to.

What is referred to is marked first. Then each kind is swept in an order in which nothing is ever left that says
something is there which is gone: a job's document before its folder, completion records before patches, ingest
documents before frames, media before their bytes. So it may be killed at any time, and run again.

A job that is planned meanwhile finds no record of what is swept, and renders it. That it had found one just before is
seen in its plan, which is stored before records are looked for: plans are read again between records and patches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from farm.domain import keys
from farm.domain.media import Media
from farm.domain.state import JOB_ENDED
from farm.errors import Conflict, NotFound
from farm.ports import Blobs, Entry, JobStatus, Ledger
from farm.service.documents import Documents
from farm.service.marks import Marks, mark_keys, mark_pictures, short

PAGE = 1000
"""Objects that are removed at once."""
KEPT_OUTPUTS = ("frames", "video", "manifest.json", "segs.json", "job.json", "cropped", "cnet", "outputs-only.json")
"""Beginnings of what a job keeps where its outputs are kept."""
OnObjects = Callable[[str, int], None]
"""`on_objects(kind, seen)`: so many objects of a kind were looked at."""


@dataclass(frozen=True)
class GcRequest:
    """What is to be collected."""

    now: float
    """Seconds since 1970, by the store's clock."""
    grace_s: float = 24 * 3600.0
    """What is younger is left alone, whether something refers to it or not: it may be about to be used."""
    older_than_s: float | None = None
    """Jobs that ended longer ago are removed; None: no job is, for its age."""
    jobs: tuple[str, ...] = ()
    """Jobs that are removed."""
    keep_outputs: bool = False
    """Of removed jobs, final frames, videos and manifests stay."""
    dry_run: bool = False
    """Only count."""


@dataclass
class Collected:
    """What was removed, or would be."""

    objects: dict[str, int] = field(default_factory=dict)
    """By kind: `jobs`, `done`, `patches`, `detections`, `ingest`, `frames`, `media`, `parts`."""
    bytes: dict[str, int] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)
    """Those that were removed."""
    notes: list[str] = field(default_factory=list)
    """What was left alone, and why."""

    def add(self, kind: str, entry: Entry) -> None:
        """Count one object."""
        self.objects[kind] = self.objects.get(kind, 0) + 1
        self.bytes[kind] = self.bytes.get(kind, 0) + entry.size


def collect(request: GcRequest, blobs: Blobs, ledger: Ledger, on_objects: OnObjects) -> Collected:
    """Remove what nothing refers to. Raises NotFound, Conflict: a job that is named is not there, or has not ended."""
    return _Collection(request, blobs, ledger, on_objects).run()


def check_ended(job_id: str, blobs: Blobs, ledger: Ledger) -> None:
    """Raises NotFound where no object is left of a job, Conflict where it has not ended."""
    if not any(True for _ in islice(blobs.list(keys.job(job_id, "")), 1)):
        raise NotFound(f"There is no job {job_id!r}.")
    status = _status(job_id, ledger)
    if status is not None and status.state not in JOB_ENDED:
        raise Conflict(f"Job {job_id} is {status.state.value}. Cancel it first: farm job cancel {job_id}.")


def remove_job(job_id: str, blobs: Blobs, ledger: Ledger) -> None:
    """Remove a job that has ended, with all its outputs; what other jobs may share stays until it is collected.

    Its document goes first: a job without one is none, and what is left of it is garbage.
    """
    check_ended(job_id, blobs, ledger)
    blobs.delete([keys.job_doc(job_id), keys.webhook_target(job_id)])
    ledger.forget(job_id)
    blobs.delete(blobs.list(keys.job(job_id, "")))


def _status(job_id: str, ledger: Ledger) -> JobStatus | None:
    try:
        return ledger.status(job_id)
    except NotFound:
        return None


class _Collection:
    def __init__(self, request: GcRequest, blobs: Blobs, ledger: Ledger, on_objects: OnObjects) -> None:
        self._request = request
        self._blobs = blobs
        self._ledger = ledger
        self._on_objects = on_objects
        self._found = Collected()

    def run(self) -> Collected:
        for job in self._request.jobs:
            check_ended(job, self._blobs, self._ledger)
        removed = self._remove_jobs()
        marks = self._marks(removed)
        self._sweep("done", "done/", lambda entry: marks.holds(marks.keys, entry.name))
        if not self._request.dry_run:
            marks = self._marks(removed)
        self._sweep("patches", "patches/", lambda entry: marks.holds(marks.keys, entry.name))
        # A job has its own copy of what detectors found: this is to spare others the same work.
        self._sweep("detections", "detections/", lambda _: False)
        self._pictures(marks)
        self._media(marks)
        self._sweep("parts", "parts/", lambda _: False)
        return self._found

    def _remove_jobs(self) -> set[str]:
        """Jobs that are removed or keep their outputs only, and what is left of those removed before."""
        there: dict[str, bool] = {}
        for name in self._blobs.list("jobs/"):
            job = name.split("/")[1]
            there[job] = there.get(job, False) or name == keys.job_doc(job)
        removed = {job for job, whole in there.items() if whole and self._chosen(job)}
        for job in sorted(removed):
            self._remove(job)
        for job in sorted(job for job, whole in there.items() if not whole):
            self._sweep("jobs", keys.job(job, ""), lambda _: False)
        return removed | {job for job in there if self._blobs.exists(keys.outputs_only(job)) and self._over(job)}

    def _chosen(self, job: str) -> bool:
        if job in self._request.jobs:
            return True
        status = _status(job, self._ledger)
        if self._request.older_than_s is None or status is None or status.state not in JOB_ENDED:
            return False
        return status.ended is not None and self._request.now - status.ended > self._request.older_than_s

    def _remove(self, job: str) -> None:
        self._found.jobs.append(job)
        keep, dry = self._request.keep_outputs, self._request.dry_run
        if not dry and keep:
            self._blobs.put(keys.outputs_only(job), b"{}", "application/json")
        elif not dry:
            for entry in self._blobs.entries(keys.job_doc(job)):
                self._found.add("jobs", entry)
            self._blobs.delete([keys.job_doc(job), keys.webhook_target(job)])
            self._ledger.forget(job)
        folder = keys.job(job, "")
        kept = tuple(folder + each for each in KEPT_OUTPUTS) if keep else ()
        self._sweep("jobs", folder, lambda entry: bool(kept) and entry.name.startswith(kept), ageless=True)

    def _marks(self, removed: set[str]) -> Marks:
        """What the jobs that are kept refer to, as they are now."""
        marks, documents = Marks(), Documents(self._blobs)
        for name in self._blobs.list("jobs/"):
            job = name.split("/")[1]
            if name != keys.job_doc(job) or job in removed:
                continue
            try:
                mark_pictures(documents.job(job), documents, marks)
            except NotFound:
                continue  # removed by somebody else meanwhile
            mark_keys(job, self._blobs, marks)
        return marks

    def _pictures(self, marks: Marks) -> None:
        """Ingest documents and frames; none while a job reads pictures, which may be about to refer to any of them."""
        reading = [job for job in marks.reading if not self._over(job)]
        if reading:
            self._found.notes.append(
                f"Frames are left alone: job {reading[0]} still reads its pictures. Collect again when it has."
            )
            return
        self._sweep("ingest", "ingest/", lambda entry: marks.holds(marks.ingests, entry.name))
        self._sweep("frames", "frames/", lambda entry: marks.holds(marks.frames, entry.name))

    def _over(self, job: str) -> bool:
        """Whether the ledger says that a job has ended; of one that it does not know, nobody can tell."""
        status = _status(job, self._ledger)
        return status is not None and status.state in JOB_ENDED

    def _media(self, marks: Marks) -> None:
        def document(entry: Entry) -> bool:
            return entry.name.startswith("media/blobs/") or short(entry.name.split("/")[1]) in marks.media

        self._sweep("media", "media/", document)
        if self._request.dry_run:
            used = self._blobs_of(name for name in self._documents() if short(name.split("/")[1]) in marks.media)
            used |= self._blobs_of(entry.name for entry in self._young("media/"))
        else:
            used = self._blobs_of(self._documents())
        self._sweep("media", "media/blobs/", lambda entry: short(entry.name.split("/")[2]) in used)

    def _documents(self) -> Iterator[str]:
        return (name for name in self._blobs.list("media/") if not name.startswith("media/blobs/"))

    def _young(self, prefix: str) -> Iterator[Entry]:
        return (e for e in self._blobs.entries(prefix) if self._is_young(e) and not e.name.startswith("media/blobs/"))

    def _blobs_of(self, documents: Iterable[str]) -> set[int]:
        """The bytes that media are made of."""
        used: set[int] = set()
        for name in documents:
            try:
                media = Media.model_validate_json(self._blobs.get(name))
            except NotFound:
                continue
            named = (media.blob, *(picture.blob for picture in media.pictures))
            used |= {short(blob.split("/")[2]) for blob in named if blob.startswith("media/blobs/")}
        return used

    def _is_young(self, entry: Entry) -> bool:
        return self._request.now - entry.modified < self._request.grace_s

    def _sweep(self, kind: str, prefix: str, kept: Callable[[Entry], bool], *, ageless: bool = False) -> None:
        """Remove the objects below a prefix that are not kept and, unless `ageless`, not young."""
        seen = 0
        garbage: list[str] = []
        for entry in self._blobs.entries(prefix):
            seen += 1
            if seen % PAGE == 0:
                self._on_objects(kind, seen)
            if kept(entry) or (self._is_young(entry) and not ageless):
                continue
            self._found.add(kind, entry)
            garbage.append(entry.name)
            if len(garbage) == PAGE:
                self._delete(garbage)
        self._delete(garbage)
        self._on_objects(kind, seen)

    def _delete(self, garbage: list[str]) -> None:
        if not self._request.dry_run:
            self._blobs.delete(garbage)
        garbage.clear()
