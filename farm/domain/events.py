"""What happened on a farm, as records, and the names of what can happen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from farm.errors import Rejected

KINDS: Mapping[str, str] = {
    "job.submitted": "A job was accepted.",
    "job.recovered": "A job was rebuilt from the store, after Redis had lost it.",
    "job.started": "Its first task was given to a worker.",
    "job.paused": "Somebody paused it.",
    "job.resumed": "Somebody let it go on.",
    "job.canceling": "Somebody canceled it; running tasks are being stopped.",
    "job.canceled": "It is canceled, and nothing of it runs.",
    "job.completed": "All of it is done.",
    "job.failed": "It has ended, and some of it failed.",
    "job.retried": "What failed is tried again.",
    "job.reopened": "Chunks are made again.",
    "job.adjusted": "Its priority, or how many workers it may have, was changed.",
    "task.started": "A worker has begun a task.",
    "task.finished": "A task is done. For a `detail` task, `layer` names the segment.",
    "task.retried": "An attempt ended badly, and the task is tried again.",
    "task.failed": "A task has failed for good.",
    "task.eaten": "A failed task was given up.",
    "frames.finished": "Frames of a chunk are final.",
    "chunk.done": "A chunk has ended well.",
    "chunk.failed": "A chunk has ended badly.",
    "worker.joined": "A worker has given its first sign of life.",
    "worker.left": "A worker has ended, or given no sign of life for too long.",
    "worker.blocked": "A worker failed too many tasks of a kind of a job.",
    "worker.unblocked": "Workers get tasks of a job again.",
    "approval.wanted": "A job's first chunks are done; the others wait for a word.",
    "approval.given": "Somebody approved of them.",
    "notice.sent": "A webhook or a mail has reached its receiver.",
    "notice.failed": "A webhook or a mail was given up.",
}
"""Kind -> what it means."""

_ID = re.compile(r"([0-9]{1,19})-([0-9]{1,20})")
_MOST = 2**64 - 1


@dataclass(frozen=True)
class Event:
    """One thing that happened."""

    id: str
    """Grows from event to event, see `position`."""
    at: float
    """Server time, seconds since 1970."""
    kind: str
    job: str
    """"" if it is no job's."""
    data: Mapping[str, object]


@dataclass(frozen=True)
class EventPage:
    """A stretch of the log."""

    events: tuple[Event, ...]
    floor: str
    """All events behind this id are kept; who knows an older one may have missed something."""
    newest: str
    """Id of the newest event. Who knows a newer one knows it of a log that is gone."""

    def knows(self, event_id: str) -> bool:
        """Whether the log can tell all that came after an id."""
        return position(self.floor) <= position(event_id) <= position(self.newest)


def position(event_id: str) -> tuple[int, int]:
    """What sorts ids. Raises Rejected for what is none."""
    match = _ID.fullmatch(event_id)
    if match is None or int(match[2]) > _MOST:
        raise Rejected(
            f"{event_id[:80]!r} is not the id of an event. Send the `id` of the last event that you have, or `0` for "
            f"all that are kept."
        )
    return int(match[1]), int(match[2])


def family(kind: str) -> str:
    """`job.completed` -> `job`."""
    return kind.partition(".")[0]


def known_kinds(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Kinds by their full names, of kinds and families (`job` or `job.*`). Raises Rejected for what is neither."""
    families = {family(kind) for kind in KINDS}
    wanted = [kind.removesuffix(".*") for kind in kinds]
    unknown = [kind for kind in wanted if kind not in KINDS and kind not in families]
    if unknown:
        raise Rejected(
            f"There are no events {', '.join(repr(kind[:40]) for kind in unknown)}. There are: {', '.join(KINDS)}; "
            f"`job` stands for all that begin with `job.`, and so on."
        )
    return tuple(kind for kind in KINDS if kind in wanted or family(kind) in wanted)
