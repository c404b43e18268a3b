"""How much of the farm a user may have, and has: looked at where they take more of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from api.access import Access, Person
from api.auth import Asker
from api.problems import QuotaExceeded
from api.shapes import Answer
from farm.adapters.counters import Counters
from farm.domain.job import Job
from farm.domain.people import Quota
from farm.ports import Ledger

TWO_DAYS_S = 2 * 24 * 3600
"""Seconds for which a day's uploads are kept."""


class Use(Answer):
    """What a user has of the farm."""

    jobs: int
    """Jobs that have not ended."""
    frames: int
    """Frames of these jobs, done or not."""
    upload_bytes: int
    """Bytes uploaded today (UTC)."""


class Quotas:
    """Knows who may have how much. Safe for threads.

    Two API processes may let one job each in at the same moment; within one they are let in one after the other.
    """

    def __init__(self, default: Quota, access: Access, ledger: Ledger, counters: Counters) -> None:
        self._default = default
        self._access = access
        self._ledger = ledger
        self._counters = counters
        self._locks: dict[str, Lock] = {}

    def quota(self, name: str) -> Quota:
        """What a user may have; 0: no limit. Raises Unavailable."""
        return self._access.quota(name).over(self._default)

    def use(self, name: str) -> Use:
        """What a user has. Raises Unavailable."""
        jobs = self._ledger.unfinished(name)
        uploaded = self._counters.total(_uploads(name))
        return Use(jobs=len(jobs), frames=sum(jobs.values()), upload_bytes=uploaded)

    @contextmanager
    def submitting(self, name: str) -> Iterator[Callable[[Job], None]]:
        """While a user submits: what says whether a job fits, by raising QuotaExceeded if it does not."""
        quota = self.quota(name)
        limited = bool(quota.jobs or quota.frames)
        with self._locks.setdefault(name, Lock()) if limited else nullcontext():
            yield lambda job: self._check(name, job, quota) if limited else None

    def _check(self, name: str, job: Job, quota: Quota) -> None:
        others = {other: frames for other, frames in self._ledger.unfinished(name).items() if other != job.id}
        frames = sum(others.values())
        if quota.jobs and len(others) >= quota.jobs:
            raise QuotaExceeded(
                f"{name!r} has {len(others):,} jobs that have not ended, of {quota.jobs:,} at once. Wait for one to "
                f"end, or cancel one (farm job cancel), or ask an admin for more (farm user set {name} --jobs N)."
            )
        if quota.frames and frames + job.frames > quota.frames:
            raise QuotaExceeded(
                f"{name!r} has {frames:,} frames in jobs that have not ended, of {quota.frames:,} at once; this job "
                f"has {job.frames:,}. Submit fewer (`frames`), wait for a job to end, or ask an admin for more "
                f"(farm user set {name} --frames N)."
            )

    def take_upload(self, name: str, size: int) -> None:
        """Count an upload, before it is stored. Raises QuotaExceeded, and then does not count it."""
        most = self.quota(name).upload_bytes or 0
        total = self._counters.add(_uploads(name), size, TWO_DAYS_S)
        if most and total > most:
            self._counters.add(_uploads(name), -size, TWO_DAYS_S)
            raise _no_room(name, total - size, most, size)

    def check_room(self, name: str, size: int) -> None:
        """Raises QuotaExceeded if there is no room today for an upload that says that it has `size` bytes."""
        most = self.quota(name).upload_bytes or 0
        taken = self._counters.total(_uploads(name)) if most else 0
        if most and (taken >= most or taken + size > most):
            raise _no_room(name, taken, most, size)


class Allowance:
    """What whoever asks may still have."""

    def __init__(self, quotas: Quotas, person: Person) -> None:
        self._quotas = quotas
        self._name = person.name

    def submitting(self) -> AbstractContextManager[Callable[[Job], None]]:
        """As `Quotas.submitting`."""
        return self._quotas.submitting(self._name)

    async def take_upload(self, size: int) -> None:
        """Count bytes that have arrived, before they are stored. Raises QuotaExceeded."""
        await run_in_threadpool(self._quotas.take_upload, self._name, size)


async def allowance(request: Request, person: Asker) -> Allowance:
    """Of whoever asks."""
    return Allowance(request.app.state.quotas, person)


async def upload_allowance(request: Request, person: Asker) -> Allowance:
    """The same for an upload, which is refused before its body is read if it says that it is too long."""
    quotas: Quotas = request.app.state.quotas
    stated = request.headers.get("content-length", "")
    await run_in_threadpool(quotas.check_room, person.name, int(stated) if stated.isdigit() else 0)
    return Allowance(quotas, person)


Allowed = Annotated[Allowance, Depends(allowance)]
Uploading = Annotated[Allowance, Depends(upload_allowance)]


def _uploads(name: str) -> str:
    return f"uploads:{name}:{datetime.now(UTC):%Y-%m-%d}"


def _no_room(name: str, taken: int, most: int, size: int) -> QuotaExceeded:
    return QuotaExceeded(
        f"{name!r} has uploaded {taken:,} bytes today, of {most:,} in a day (UTC); this upload has {size:,}. Go on "
        f"tomorrow, or ask an admin for more (farm user set {name} --upload-bytes N)."
    )
