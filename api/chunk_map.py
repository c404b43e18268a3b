"""A whole job at a glance: the state of every chunk and of every segment in it, as a few short strings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Annotated

from pydantic import Field

from api.shapes import Answer
from farm.domain.job import Job
from farm.domain.state import TaskState
from farm.ports import Ledger, TaskFilter, TaskStatus
from farm.service.skeleton import spans

PAGE = 1000
"""Rows read from the ledger at once."""

LETTERS: dict[TaskState, str] = {
    TaskState.FAILED: "f",
    TaskState.ACTIVE: "a",
    TaskState.SOFT_FAILED: "s",
    TaskState.QUEUED: "r",
    TaskState.DEPEND: "w",
    TaskState.CANCELED: "c",
    TaskState.EATEN: "e",
    TaskState.COMPLETED: "d",
}
"""Task state -> its letter; where several tasks share a cell the first one here is shown."""
LATER = "q"
"""The chunk has not entered the window yet."""
NONE = "-"
"""There is nothing to do, or nothing is known yet."""

_RANK = {letter: rank for rank, letter in enumerate(LETTERS.values())}

Runs = Annotated[str, Field(pattern=r"^([1-9][0-9]*[a-z-])*$", examples=["1201d4a45q"])]


class ChunkMap(Answer):
    """The states of a job's chunks, run-length encoded: `12d3a` are twelve chunks that are done and three that are
    active. Letters: `q` not begun, `w` waits for other tasks, `r` ready for a worker, `a` active, `s` soft-failed,
    `d` done, `f` failed, `e` eaten, `c` canceled, `-` nothing to do."""

    revision: int
    """The job's."""
    start: int
    """Position in the clip of the first frame."""
    frames: int
    numbers: tuple[tuple[int, int, int], ...]
    """Runs of frame numbers: (frames before it, first number, step)."""
    chunk: int
    """Frames per chunk; the last one may have fewer."""
    chunks: int
    states: Runs
    """Of the chunks: what is to be said first of all of a chunk's tasks."""
    segments: dict[str, Runs]
    """Source -> the states of its detail tasks, chunk by chunk."""


def chunk_map(job: Job, ledger: Ledger, numbers: Sequence[int] = ()) -> ChunkMap:
    """The map as it is now. Costs one look per chunk and the rows of those chunks that have not ended well.

    Args:
        numbers: of the job's frames, where the clip is a sequence of pictures.
    """
    revision = ledger.status(job.id).revision
    layout = spans(job)
    known = ledger.chunk_states(job.id, range(layout.count))
    names = [source.name for source in job.sources]
    begins = {"done": "d", "failed": "f", "open": "w"}
    chunks = [begins.get(known.get(index, ""), LATER) for index in range(layout.count)]
    cells = {name: [{"d": "d", LATER: LATER}.get(letter, NONE) for letter in chunks] for name in names}
    open_letters: dict[int, set[str]] = {}
    for task in _rows(ledger, job.id):
        if not 0 <= task.chunk < layout.count or chunks[task.chunk] == "d":
            continue
        letter = LETTERS[task.state]
        open_letters.setdefault(task.chunk, set()).add(letter)
        row = cells.get(task.layer.removeprefix("detail:")) if task.kind == "detail" else None
        if row is not None:
            row[task.chunk] = _first([row[task.chunk], letter])
    for index, letters in open_letters.items():
        chunks[index] = _first(letters - {"d"} or {"w"}) if chunks[index] != "f" else "f"
    return ChunkMap(
        revision=revision,
        start=job.start,
        frames=job.frames,
        numbers=tuple(number_runs(numbers)) if numbers else ((0, job.number(job.start), 1),),
        chunk=layout.core,
        chunks=layout.count,
        states=encode(chunks),
        segments={name: encode(row) for name, row in cells.items()},
    )


def encode(letters: Sequence[str]) -> str:
    """Run lengths: `["d", "d", "a"]` as `2d1a`."""
    return "".join(f"{len(list(run))}{letter}" for letter, run in groupby(letters))


def number_runs(numbers: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Numbers that rise, as runs of (index of the first, first number, step): a clip on twos is one run."""
    begin = 0
    while begin < len(numbers):
        step = numbers[begin + 1] - numbers[begin] if begin + 1 < len(numbers) else 1
        end = begin + 1
        while end < len(numbers) and numbers[end] - numbers[end - 1] == step:
            end += 1
        yield begin, numbers[begin], step
        begin = end


def _first(letters: Iterable[str]) -> str:
    return min(letters, key=lambda letter: _RANK.get(letter, len(_RANK)))


def _rows(ledger: Ledger, job: str) -> Iterator[TaskStatus]:
    after = ""
    while page := ledger.tasks(job, TaskFilter(), after, PAGE):
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].id
