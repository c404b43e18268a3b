"""All jobs back into a ledger that has lost them, from the store alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from farm.domain import keys
from farm.errors import NotFound, Rejected
from farm.ports import Blobs
from farm.service.farm import Farm


@dataclass(frozen=True)
class Rebuilt:
    """What became of the store's jobs."""

    jobs: tuple[str, ...]
    """Those that the ledger has now."""
    recovered: tuple[str, ...]
    """Of them, those that it had lost."""
    failed: tuple[str, ...]
    """Those that could not be read, and why."""


def recover_all(farm: Farm) -> Rebuilt:
    """Rebuild the place of every job of the store that the ledger lacks; one that cannot be read holds no other up."""
    jobs, recovered, failed = [], [], []
    for job in stored_jobs(farm.blobs):
        try:
            if not _known(farm, job):
                farm.recover(job)
                recovered.append(job)
            jobs.append(job)
        except (Rejected, ValidationError) as error:
            failed.append(f"{job}: {str(error).splitlines()[0]}")
    return Rebuilt(tuple(jobs), tuple(recovered), tuple(failed))


def _known(farm: Farm, job: str) -> bool:
    try:
        farm.status(job)
    except NotFound:
        return False
    return True


def stored_jobs(blobs: Blobs) -> Iterator[str]:
    """Ids of all jobs in the store, whether the ledger knows them or not; a job's folder is not read through."""
    after = ""
    while (name := next(iter(blobs.list("jobs/", after)), None)) is not None:
        job = name.split("/")[1]
        if blobs.exists(keys.job_doc(job)):
            yield job
        # Behind all names of this folder: ids are of letters, digits and dashes.
        after = keys.job(job, "~")
