"""A job's place in the ledger, rebuilt from the store: its document, people's decisions, its finished chunks."""

from __future__ import annotations

import json

from farm.domain import keys
from farm.domain.job import Job
from farm.ports import Blobs, JobFacts, Ledger

RANK = {"cancel": "cancel", "pause": "pause", "resume": "", "retry": ""}
"""Decision -> what it leaves the job in; the last one counts."""


def recover_job(job: Job, facts: JobFacts, blobs: Blobs, ledger: Ledger) -> None:
    """Open the job again in an empty ledger; one that is there already is left as it is.

    Chunks are planned again as they enter the window; a task whose key has a completion record is added as completed,
    so nothing that was finished is rendered twice.
    """
    done = []
    for name in blobs.list(keys.chunk_prefix(job.id)):
        record = json.loads(blobs.get(name))
        done.append((int(record["chunk"]), int(record["core_frames"])))
    if not ledger.create(facts, done):
        return
    standing = ""
    for name in blobs.list(keys.job(job.id, "decisions/")):
        standing = RANK.get(json.loads(blobs.get(name))["action"], standing)
    if standing:
        ledger.act(job.id, standing, "decided before the ledger was rebuilt", "recover")
