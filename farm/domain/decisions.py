"""What people decided about a job, as the records in its store amount to: the last word counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

STATES = {"cancel": "cancel", "pause": "pause", "resume": "", "retry": ""}
"""Decision -> what it leaves the job in."""


@dataclass(frozen=True)
class Standing:
    """All decisions about a job, together."""

    state: str = ""
    """`cancel`, `pause`, or nothing: it goes on."""
    approved: bool = False
    """Somebody has looked at the first chunks, and wants the others too."""
    priority: int | None = None
    max_workers: int | None = None
    tasks: frozenset[str] = frozenset()
    """Eaten tasks: of a `detail` task the frames keep the pixels below it, of a `plan` whatever cannot be read is left
    out."""
    frames: frozenset[tuple[int, int]] = frozenset()
    """Eaten frames, as chunk and position in the clip: no segment of theirs is repainted, and what cannot be read is
    left out."""

    @property
    def chunks(self) -> tuple[int, ...]:
        """Chunks in which something was eaten."""
        return tuple(sorted({chunk for chunk, _ in self.frames} | {_chunk(task) for task in self.tasks}))

    def given_up(self, chunk: int, core: Iterable[int]) -> frozenset[int]:
        """Positions of a chunk's core that need not be read: eaten frames, or all if its plan was eaten."""
        return frozenset(core) if f"plan.{chunk}" in self.tasks else self.positions(chunk)

    def positions(self, chunk: int) -> frozenset[int]:
        """Positions of a chunk's eaten frames."""
        return frozenset(position for of, position in self.frames if of == chunk)


def standing(records: Iterable[Mapping[str, Any]]) -> Standing:
    """What the records of decisions, in the order in which they were made, amount to."""
    found = Standing()
    for record in records:
        found = replace(found, state=STATES.get(record["action"], found.state))
        if record["action"] == "approve":
            found = replace(found, approved=True)
        elif record["action"] == "eat":
            frames = {(chunk, position) for chunk, position in record["frames"]}
            found = replace(found, tasks=found.tasks | set(record["tasks"]), frames=found.frames | frames)
        elif record["action"] == "retry":
            back = set(record.get("reopened", ()))
            tasks = frozenset(task for task in found.tasks if _chunk(task) not in back)
            frames = {at for at in found.frames if at[0] not in back}
            found = replace(found, tasks=tasks, frames=frozenset(frames))
        elif record["action"] == "adjust":
            given = {name: record[name] for name in ("priority", "max_workers") if record[name] is not None}
            found = replace(found, **given)
    return found


def _chunk(task: str) -> int:
    return int(task.split(".")[1])
