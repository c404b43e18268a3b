"""A job's place in the ledger, rebuilt from the store: its document, people's decisions, its finished chunks."""

from __future__ import annotations

import json
from dataclasses import replace

from farm.domain import keys
from farm.domain.job import Job
from farm.errors import NotFound
from farm.ports import Blobs, JobFacts, Ledger
from farm.service.eat import decided
from farm.service.skeleton import spans, wrap_task

BEFORE, ACTOR = "decided before the ledger was rebuilt", "recover"


def recover_job(job: Job, facts: JobFacts, blobs: Blobs, ledger: Ledger) -> None:
    """Open the job again in an empty ledger; one that is there already is left as it is.

    Chunks are planned again as they enter the window; a task whose key has a completion record is added as completed,
    so nothing that was finished is rendered twice. A job that had ended well is completed again at once.
    """
    covered, decisions = spans(job), decided(blobs, job.id)
    done = []
    # By name: a chunk's document is written when its last frame is, and it has all frames of the core, unless some were
    # given up.
    for name in blobs.list(keys.chunk_prefix(job.id)):
        number = int(name.rsplit("/", 1)[1].partition(".")[0])
        whole = number not in decisions.chunks
        done.append((number, covered.frames(number) if whole else int(json.loads(blobs.get(name))["core_frames"])))
    if decisions.priority is not None:
        facts = replace(facts, priority=decisions.priority)
    if decisions.max_workers is not None:
        facts = replace(facts, max_workers=decisions.max_workers)
    if decisions.approved:
        facts = replace(facts, trial=0)
    if not ledger.create(facts, done, recovered=True):
        return
    ledger.eat(job.id, (), (), decisions.chunks, BEFORE, ACTOR)
    if len(done) == covered.count and _wrapped(job.id, blobs):
        ledger.extend(job.id, [wrap_task()._replace(output=keys.manifest(job.id))], len(done))
    elif decisions.state:
        ledger.act(job.id, decisions.state, BEFORE, ACTOR)


def _wrapped(job: str, blobs: Blobs) -> bool:
    """Whether a job's last step was done when all chunks were there, and need not be done again."""
    try:
        manifest = json.loads(blobs.get(keys.manifest(job)))
    except NotFound:
        return False
    return not manifest.get("missing_chunks")
