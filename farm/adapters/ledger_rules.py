"""What both ledgers, the one on Redis and the one in memory, hold to: limits, names, the order of jobs and tasks."""

import math
import re
import time
from collections.abc import Iterable, Sequence

from farm.domain.state import FREE_OUTCOMES, Outcome
from farm.errors import Conflict, NotFound, Rejected
from farm.ports import JobFacts, NewTask

LOSSES_MAX = 10
"""Leases of one task that may run out; then it is failed, since a task that kills its workers must not run for ever."""

HISTORY_MAX = 20
"""Attempts of one task that are remembered, the latest ones."""

SWEEP_LIMIT = 200
"""Entries of each kind that one sweep looks at, so that it never holds others up for long."""

OFFER_AGAIN_MAX = 32
"""The wait before a ready task is offered again doubles with each offer, up to this many times the first wait: where
no worker comes for days, messages must not fill the broker."""

REASON_MAX = 500
"""Characters of a drain's reason that are kept."""

ERROR_MAX = 2000
"""Characters of an error that are kept; the whole text is in the worker's log."""

FAULTS_MAX = 3
"""Tasks of one kind of a job that a worker may fail; then it is given no more of them, as long as there are others."""

WITHHELD_S = 60
"""Seconds for which a task that waits is kept for workers that have not failed it; then it may go to anybody."""

HASTE_MAX = 8
"""Offers of a task after which nobody is in a hurry any more: one that reached a worker that must not have the task is
sent again by the next sweep, but not for ever."""

EATEN = "eaten"
"""Output of a task that was eaten."""

EVENTS_KEPT = 50_000
"""Events that are kept at the most, unless a farm sets another number; a job of 20,000 frames has some 20,000."""

EVENTS_KEPT_S = 7 * 24 * 3600
"""Seconds for which they are kept at the most."""

EVENT_ERROR_MAX = 300
"""Bytes of an error that an event tells; the whole of it is told by the task."""

AWAITED = "the first chunks wait for approval"
"""Activity of a job that awaits approval."""

PRIORITY_MAX = 100
"""Priorities are 0 .. 100."""

BARRIER = "barrier"
"""Kind of a task that nobody runs; never counted, never listed."""

CANCEL_ASKED = "cancel requested"
"""How the activity of a job begins that is being canceled; `canceled` takes its place, and the reason stays."""

IN_WORDS = {
    "pause": "paused",
    "resume": "resumed",
    "cancel": CANCEL_ASKED,
    "approve": "approved",
    "retry": "retried",
    "eat": "eaten",
    "unblock": "workers unblocked",
    "adjust": "adjusted",
}
"""Decision -> how the activity of its job begins."""

JOB_LEVEL = frozenset({"ingest", "detect", "tracks", "scan", "segments", "wrap"})
"""First parts of ids whose number is not a chunk's."""

_JOB_ID = re.compile(r"[^\s/|{}]+")
_TASK_ID = re.compile(r"[^\s/]+")
_LAST_LETTER = re.compile(rb"[\xc0-\xff][\x80-\xbf]*\Z")
"""A character of several bytes, whole or not, at the end of a text."""
_CHUNK = re.compile(r"0|[1-9][0-9]{0,8}")


def chunk_of(task: str) -> int:
    """The chunk in a task's id, `detail.7.3` -> 7; -1 if the task is the job's own."""
    parts = task.split(".")
    if parts[0] in JOB_LEVEL or len(parts) < 2 or not _CHUNK.fullmatch(parts[1]):
        return -1
    return int(parts[1])


def job_order(created: str, job: str) -> str:
    """What sorts jobs by age."""
    return f"{created}|{job}"


def uses_up(outcome: Outcome) -> bool:
    """Whether an attempt that ended so counts against the job's `max_attempts`."""
    return outcome not in FREE_OUTCOMES and outcome is not Outcome.CANCELED


def milliseconds(seconds: float) -> int:
    """Whole milliseconds: what both ledgers reckon in, since Lua's JSON keeps 14 digits of a number."""
    return round(seconds * 1000)


def system_clock() -> float:
    """Seconds since 1970."""
    return time.time()


def check_job(facts: JobFacts, done_chunks: Sequence[tuple[int, int]]) -> None:
    """Raises Rejected for a job that a ledger cannot hold."""
    if not _JOB_ID.fullmatch(facts.id):
        raise Rejected(f"The job id {facts.id!r} holds a space or one of / | {{ }}. Use letters, digits, - and _.")
    check_adjust(facts.priority, facts.max_workers)
    if not 0 < facts.weight < math.inf:
        raise Rejected(f"The weight of user {facts.user!r} is {facts.weight:g}; it must be above 0. The default is 1.")
    if any(chunk < 0 or frames < 0 for chunk, frames in done_chunks):
        raise Rejected(f"Job {facts.id} is said to have finished a chunk below 0 or one of fewer than 0 frames.")


def check_adjust(priority: int | None, max_workers: int | None) -> None:
    """Raises Rejected for values that a job cannot have; None: it keeps its own."""
    if priority is not None and not 0 <= priority <= PRIORITY_MAX:
        raise Rejected(f"The priority is {priority}; it must be 0 to {PRIORITY_MAX}. The default is 50.")
    if max_workers is not None and max_workers < 0:
        raise Rejected(f"At most {max_workers} workers: it must be 1 or more, or 0 for any number.")


def check_tasks(tasks: Iterable[NewTask]) -> None:
    """Raises Rejected for tasks whose names a ledger cannot hold."""
    for task in tasks:
        for name in (task.id, *task.waits, *task.settles, *task.feeds):
            if not _TASK_ID.fullmatch(name):
                raise Rejected(f"The task id {name!r} is empty or holds a space or a slash. Use letters, digits, - _ .")


def check_outcome(outcome: Outcome) -> None:
    """Raises Rejected for an end that is none of `fail`."""
    if outcome is Outcome.OK:
        raise Rejected("An attempt cannot fail with the outcome `ok`. End it with `finish`.")


def check_action(action: str) -> None:
    """Raises Rejected for an action that a job does not have."""
    if action not in ("pause", "resume", "cancel", "approve"):
        raise Rejected(f"{action!r} is nothing that a job can do. Use pause, resume, cancel or approve.")


def conflict(job: str, action: str, state: str) -> Conflict:
    """What both ledgers say when the job's state does not allow an action."""
    if state == "cancel-requested":
        return Conflict(f"Job {job} is being canceled; {action} must wait until it is. Try again in a few seconds.")
    if action == "cancel":
        return Conflict(f"Job {job} is {state}; there is nothing left to cancel.")
    if state == "awaiting-approval":
        return Conflict(f"Job {job} awaits approval and cannot {action}. Use `approve` to let it go on, or `cancel`.")
    if action == "approve":
        return Conflict(f"Job {job} is {state}; there is nothing left to approve.")
    return Conflict(f"Job {job} is {state} and cannot {action}. Use `retry` to open an ended job again.")


def short(text: str) -> str:
    """As much of a text as an event tells, cut between characters."""
    data = text.encode()
    if len(data) <= EVENT_ERROR_MAX:
        return text
    return _LAST_LETTER.sub(b"", data[:EVENT_ERROR_MAX]).decode()


def in_words(action: str, reason: str, actor: str) -> str:
    """A decision as the job's activity."""
    done = IN_WORDS.get(action, action)
    return f"{done}{f' by {actor}' if actor else ''}{f': {reason}' if reason else ''}"


def no_job(job: str) -> NotFound:
    """What both ledgers say of a job that they do not have."""
    return NotFound(f"The ledger has no job {job!r}. If it is in the store, `farm job recover` brings it back.")


def no_worker(worker: str) -> NotFound:
    """What both ledgers say of a worker that gives no sign of life."""
    return NotFound(f"No worker {worker!r} is alive. `farm workers` lists those that are.")


def no_task(job: str, task: str) -> NotFound:
    """What both ledgers say of a task that they do not have."""
    return NotFound(
        f"Job {job!r} has no task {task!r} in the ledger. Tasks of finished chunks are in the chunk's document, later "
        f"chunks are not planned yet; `farm job tasks {job}` lists what is there."
    )
