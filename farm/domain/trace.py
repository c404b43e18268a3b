"""What happened to a job: every attempt, who made it, when, and why it ended; as a table and as a timeline. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from farm.domain.forecast import Sample
from farm.domain.state import Outcome

GPU, DOWNLOAD, UPLOAD, OTHER, BAD = "GPU", "download", "upload", "other tasks", "ended badly"
TRACKS = (GPU, DOWNLOAD, UPLOAD, OTHER, BAD)
"""Of each worker, in the order in which they are shown."""
MICROSECONDS = 1_000_000


class Attempt(BaseModel):
    """One try of a task by one worker."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    task: str
    kind: str
    layer: str
    chunk: int
    """-1 for a task of the whole job."""
    worker: str
    started: float
    """Seconds since 1970, by the ledger's clock."""
    ended: float
    outcome: str
    """`ok`, `error`, `oom`, `timeout`, `stuck`, `interrupted`, `lost`, `superseded`, `canceled`."""
    error: str = ""
    output: str = ""
    """Name of the object that was made, of an attempt that ended well."""
    took: Sample | None = None
    """Of a detail task: when its worker read, sampled and stored."""

    @property
    def ok(self) -> bool:
        """Whether it ended well."""
        return self.outcome == Outcome.OK


@dataclass(frozen=True)
class Span:
    """What a worker did for a while."""

    worker: str
    track: str
    start: float
    """Seconds since 1970."""
    end: float
    attempt: Attempt


@dataclass(frozen=True)
class Busy:
    """How much of its time a worker's device was sampling."""

    worker: str
    device: str
    gpu_s: float
    span_s: float
    """Seconds from the worker's first attempt at this job to the end of its last."""
    attempts: int

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.gpu_s / self.span_s if self.span_s > 0 else 0.0


def spans(attempts: Iterable[Attempt]) -> Iterator[Span]:
    """What the attempts' workers did: a detail task is read, sampled and stored, anything else is one span."""
    for attempt in attempts:
        if not attempt.ok:
            yield Span(attempt.worker, BAD, attempt.started, attempt.ended, attempt)
        elif attempt.took is None or attempt.took.worker != attempt.worker:
            yield Span(attempt.worker, OTHER, attempt.started, attempt.ended, attempt)
        else:
            parts = {DOWNLOAD: attempt.took.download, GPU: attempt.took.gpu}
            for track, (begin, end) in parts.items():
                # The worker's clock and the ledger's may run apart by a little: nothing goes on after the end.
                first, last = (min(attempt.started + each, attempt.ended) for each in (begin, end))
                yield Span(attempt.worker, track, first, last, attempt)
            stored = min(attempt.started + attempt.took.gpu[1], attempt.ended)
            yield Span(attempt.worker, UPLOAD, stored, attempt.ended, attempt)


def busy(attempts: Sequence[Attempt]) -> list[Busy]:
    """Each worker that sampled, by name."""
    mine: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        mine[attempt.worker].append(attempt)
    found = []
    for worker, own in sorted(mine.items()):
        sampled = [one.took for one in own if one.ok and one.took is not None and one.took.worker == worker]
        if sampled:
            span = max(one.ended for one in own) - min(one.started for one in own)
            found.append(Busy(worker, sampled[0].device, sum(one.gpu_s for one in sampled), span, len(own)))
    return found


def gpu_share(workers: Sequence[Busy]) -> float:
    """Of all the time in which devices could have sampled, the share in which they did."""
    total = sum(each.span_s for each in workers)
    return sum(each.gpu_s for each in workers) / total if total > 0 else 0.0


def chrome(job: str, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """The attempts in Chrome's trace event format, which Perfetto opens: a process per worker, a thread per track.

    Spans of one track never overlap: what would goes to a further track of the same name. Times begin at the job's
    first attempt.
    """
    found = sorted(spans(attempts), key=lambda span: (span.start, span.end))
    zero = found[0].start if found else 0.0
    workers = {worker: number for number, worker in enumerate(sorted({span.worker for span in found}), 1)}
    lanes: dict[tuple[str, str], list[float]] = defaultdict(list)
    events: list[dict[str, Any]] = []
    for span in found:
        lane = _free_lane(lanes[span.worker, span.track], span)
        events.append(_event(span, zero, workers[span.worker], _thread(span.track, lane)))
    names = [_named("process_name", pid, 0, worker) for worker, pid in workers.items()]
    for (worker, track), ends in lanes.items():
        for lane in range(len(ends)):
            title = track if lane == 0 else f"{track} {lane + 1}"
            names.append(_named("thread_name", workers[worker], _thread(track, lane), title))
            order = {"sort_index": _thread(track, lane)}
            names.append(_meta("thread_sort_index", workers[worker], _thread(track, lane), order))
    shares = busy(attempts)
    told = {"job": job, "gpu_busy": round(gpu_share(shares), 4)}
    told |= {f"gpu_busy {each.worker}": round(each.share, 4) for each in shares}
    return {"traceEvents": names + events, "displayTimeUnit": "ms", "otherData": told}


def _thread(track: str, lane: int) -> int:
    return TRACKS.index(track) + 1 + lane * len(TRACKS)


def _free_lane(ends: list[float], span: Span) -> int:
    """The first lane in which nothing goes on when the span begins; it is taken until its end."""
    for lane, end in enumerate(ends):
        if end <= span.start:
            ends[lane] = span.end
            return lane
    ends.append(span.end)
    return len(ends) - 1


def _event(span: Span, zero: float, pid: int, tid: int) -> dict[str, Any]:
    attempt = span.attempt
    # Both ends are rounded, so that spans which touch still do.
    start, end = (round((each - zero) * MICROSECONDS) for each in (span.start, span.end))
    told: dict[str, Any] = {"layer": attempt.layer, "outcome": attempt.outcome}
    if attempt.error:
        told["error"] = attempt.error
    return {
        "name": attempt.task,
        "cat": attempt.kind,
        "ph": "X",
        "ts": start,
        "dur": end - start,
        "pid": pid,
        "tid": tid,
        "args": told,
    }


def _named(kind: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return _meta(kind, pid, tid, {"name": name})


def _meta(kind: str, pid: int, tid: int, told: dict[str, Any]) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": pid, "tid": tid, "args": told}
