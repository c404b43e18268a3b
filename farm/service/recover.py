"""A job's place in the ledger, rebuilt from the store: its document, people's decisions, its finished chunks."""

from __future__ import annotations

import json

from farm.domain import keys
from farm.domain.job import Job
from farm.ports import Blobs, JobFacts, Ledger
from farm.service.skeleton import spans

RANK = {"cancel": "cancel", "pause": "pause", "resume": "", "retry": ""}
"""Decision -> what it leaves the job in; the last one counts."""


def recover_job(job: Job, facts: JobFacts, blobs: Blobs, ledger: Ledger) -> None:
    """Open the job again in an empty ledger; one that is there already is left as it is.

    Chunks are planned again as they enter the window; a task whose key has a completion record is added as completed,
    so nothing that was finished is rendered twice.
    """
    covered = spans(job)
    # By name: a chunk's document is written when its last frame is, and it always has all frames of the core.
    numbers = [int(name.rsplit("/", 1)[1].partition(".")[0]) for name in blobs.list(keys.chunk_prefix(job.id))]
    done = [(number, covered.frames(number)) for number in numbers]
    if not ledger.create(facts, done):
        return
    standing = ""
    for name in blobs.list(keys.job(job.id, "decisions/")):
        standing = RANK.get(json.loads(blobs.get(name))["action"], standing)
    if standing:
        ledger.act(job.id, standing, "decided before the ledger was rebuilt", "recover")
