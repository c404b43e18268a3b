"""Every attempt at a job's tasks, kept where it survives: in the store, an object for a few chunks.

The ledger has the attempts of chunks in flight only, a bounded number; before a chunk's rows are dropped they are
written down. What is left when the job ends (its own tasks, failed chunks) is written then.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from farm.domain import keys
from farm.domain.forecast import Sample
from farm.domain.trace import Attempt
from farm.errors import NotFound
from farm.ports import Blobs, Ledger, TaskFilter, TaskStatus
from farm.service.documents import compact

PAGE = 500
"""Rows that are read from the ledger, or written to one object, at once."""
CHUNK_KINDS = ("search", "plan", "paste", "encode")
"""Tasks that a chunk has once, if at all."""
FEW_DETAILS = 8
"""Detail tasks of each chunk that are asked for first: most chunks have no more."""
DETAIL_NAMES = 64
"""The same, of those that have."""


def keep_chunks(job: str, chunks: Sequence[int], ledger: Ledger, blobs: Blobs) -> None:
    """Write down the attempts at the tasks of these chunks, if the ledger still has them."""
    if not chunks:
        return
    # One object for all: who writes some of them again, after a crash, tells of the same attempts.
    _write(job, f"{min(chunks):06d}-{max(chunks):06d}", _rows(job, chunks, ledger), blobs)


def keep_tasks(job: str, name: str, tasks: Sequence[str], ledger: Ledger, blobs: Blobs) -> None:
    """Write down the attempts at those of these tasks that the ledger still has; `name` is the object's."""
    if tasks:
        _write(job, name, ledger.tasks(job, TaskFilter(tasks=tuple(tasks)), limit=len(tasks)), blobs)


def keep_rest(job: str, ledger: Ledger, blobs: Blobs) -> None:
    """Write down the attempts at all tasks that the ledger has of a job."""
    for number, page in enumerate(_pages(job, ledger)):
        _write(job, f"end-{number:04d}", page, blobs)


def attempts_of(job: str, ledger: Ledger, blobs: Blobs) -> Iterator[Attempt]:
    """All attempts at a job's tasks that have ended, from store and ledger, each once; chunk by chunk.

    Attempts of chunks in flight are lost with the ledger; all others are not.
    """
    told: set[tuple[str, str, str, int]] = set()
    for attempt in _everywhere(job, ledger, blobs):
        # The ledger's clock in milliseconds, however it came here.
        mark = (attempt.task, attempt.worker, attempt.outcome, round(attempt.started * 1000))
        if mark not in told:
            told.add(mark)
            yield _timed(attempt, blobs)


def _everywhere(job: str, ledger: Ledger, blobs: Blobs) -> Iterator[Attempt]:
    for name in blobs.list(keys.attempts(job, "")):
        for entry in json.loads(blobs.get(name))["attempts"]:
            yield Attempt.model_validate(entry)
    try:
        for page in _pages(job, ledger):
            yield from _attempts(page)
    except NotFound:
        return  # the ledger has lost the job: what the store knows is all there is


def _timed(attempt: Attempt, blobs: Blobs) -> Attempt:
    """With the times of its parts, which its completion record tells."""
    if attempt.kind != "detail" or not attempt.output:
        return attempt
    folder, _, digest = attempt.output.removeprefix("patches/").removesuffix(".zip").partition("/")
    try:
        record = json.loads(blobs.get(keys.done(folder, digest)))
    except NotFound:
        return attempt
    took = Sample.model_validate(record["took"]) if "took" in record else None
    return attempt.model_copy(update={"took": took})


def _rows(job: str, chunks: Sequence[int], ledger: Ledger) -> list[TaskStatus]:
    """The rows of these chunks, asked for by name: that costs the same whatever else is in flight."""
    names = tuple(f"{kind}.{chunk}" for chunk in chunks for kind in CHUNK_KINDS)
    rows = list(ledger.tasks(job, TaskFilter(tasks=names), limit=len(names)))
    more = sorted({row.chunk for row in rows})
    first, count = 0, FEW_DETAILS
    while more:
        details = [f"detail.{chunk}.{number}" for chunk in more for number in range(first, first + count)]
        found = ledger.tasks(job, TaskFilter(tasks=tuple(details)), limit=len(details))
        rows += found
        seen = Counter(row.chunk for row in found)
        more = [chunk for chunk in more if seen[chunk] == count]
        first, count = first + count, DETAIL_NAMES
    return rows


def _pages(job: str, ledger: Ledger) -> Iterator[tuple[TaskStatus, ...]]:
    after = ""
    while page := ledger.tasks(job, TaskFilter(), after, PAGE):
        yield page
        after = page[-1].id


def _write(job: str, name: str, rows: Iterable[TaskStatus], blobs: Blobs) -> None:
    entries = [attempt.model_dump(mode="json", exclude_defaults=True) for attempt in _attempts(rows)]
    if entries:
        blobs.put(keys.attempts(job, f"{name}.json"), compact({"attempts": entries}), "application/json")


def _attempts(rows: Iterable[TaskStatus]) -> Iterator[Attempt]:
    for row in rows:
        for entry in row.history:
            facts = {"task": row.id, "kind": row.kind, "layer": row.layer, "chunk": row.chunk}
            made = row.output if entry["outcome"] == "ok" else ""
            yield Attempt.model_validate({**facts, **entry, "output": made})
