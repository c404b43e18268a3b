"""What a chaos run has done to the farm's promises: counted, from the store, the ledger and the workers' logs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import redis

from farm.domain import keys
from farm.domain.state import JobState, TaskState
from farm.service.rebuild import stored_jobs
from tests.chaos.watch import PREFIX, Loss
from tests.e2e.farm_under_test import FarmUnderTest
from tests.e2e.losses import steps_needed

TWICE_MAX = 0.05
"""Share of the sampler steps that may be done more than once."""
RECOVERY_MAX_S = 20.0
"""Seconds; 95 % of the lost tasks are claimed again before, with the farm's own lease of 15 s."""
UNFORESEEN = ("error", "oom", "timeout", "stuck")
"""Outcomes of attempts that no kill and no cut may lead to."""


@dataclass
class Frames:
    """Final pictures of all jobs, beside those of the undisturbed run."""

    expected: int = 0
    equal: int = 0
    """By SHA-256."""
    other: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)

    def compare(self, job: str, expected: Mapping[str, str], found: Mapping[str, str]) -> None:
        """Add a job's pictures: SHA-256 by file name."""
        self.expected += len(expected)
        for name in sorted(expected.keys() | found.keys()):
            if name not in found:
                self.missing.append(f"{job}/{name}")
            elif name not in expected:
                self.stray.append(f"{job}/{name}")
            elif expected[name] != found[name]:
                self.other.append(f"{job}/{name}")
            else:
                self.equal += 1


@dataclass(frozen=True)
class Commits:
    """Commits of workers that were stopped before them and woke when their lease was over."""

    tried: int
    refused: int
    wrong: tuple[str, ...]
    """Accepted although the task had been given to another worker."""
    noticed: int
    """Attempts that were given up before the commit: the worker had heard that its lease was lost."""


@dataclass
class Verdict:
    """The figures of one run."""

    frames: Frames
    left_over: list[str]
    """Leases, queues, rows, objects that nobody needs any more."""
    wrong: list[str]
    """Promises that were broken in other ways."""
    steps: tuple[int, int]
    """Sampler steps done, and those of a run in which nothing is done twice."""
    crops_late: int
    """Detail tasks that were done to the end and refused: another had been faster."""
    losses: Sequence[Loss]
    commits: Commits

    @property
    def twice(self) -> float:
        """Share of the work that was done more than once."""
        return self.steps[0] / self.steps[1] - 1 if self.steps[1] else 0.0

    @property
    def recoveries(self) -> list[float]:
        """Seconds from a blow to the next claim of each lost task, sorted."""
        return sorted(loss.recovered_s for loss in self.losses if loss.lost and loss.recovered_s is not None)

    def faults(self, lease_s: float) -> list[str]:
        """What a run must not show, in words; empty if all promises were kept."""
        frames = self.frames
        late = percentile(self.recoveries, 95)
        found = [
            *(f"other bytes: {name}" for name in frames.other),
            *(f"missing: {name}" for name in frames.missing),
            *(f"stray: {name}" for name in frames.stray),
            *(f"left over: {name}" for name in self.left_over),
            *self.wrong,
            *(f"late commit accepted: {name}" for name in self.commits.wrong),
        ]
        if self.twice > TWICE_MAX:
            found.append(f"{self.twice:.1%} of the work was done twice")
        if late > RECOVERY_MAX_S + max(0.0, lease_s - 15):
            found.append(f"95 % of the lost tasks were claimed again only after {late:.1f} s")
        return found


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent do not exceed; 0 of none."""
    if len(values) < 2:
        return max(values, default=0.0)
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def events(folder: Path) -> Iterator[dict[str, Any]]:
    """What all processes have logged, one process after the other; lines that a kill has torn are left out."""
    for path in sorted((folder / "logs").glob("*.log")):
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                try:
                    yield {"log": path.stem, **json.loads(line)}
                except ValueError:
                    continue


def left_over(farm: FarmUnderTest, jobs: Sequence[str]) -> list[str]:
    """What an idle farm must not have."""
    found = []
    with redis.Redis.from_url(farm.redis.url, decode_responses=True) as client:
        for index in ("leases", "due", "offered", "open", "line"):
            found += [f"{index}: {member}" for member in client.zrange(f"{PREFIX}{index}", 0, -1)]
        for pattern in ("leases-of:*", "queue:*", "{*}:ready:*", "{*}:workers"):
            found += sorted(str(name) for name in client.scan_iter(f"{PREFIX}{pattern}"))
    for job in jobs:
        status = farm.farm.status(job)
        if status.state is not JobState.COMPLETED:
            found.append(f"job {job} is {status.state.value}: {status.activity}")
        ended = status.counts[TaskState.COMPLETED]
        if ended != status.tasks:
            found.append(f"job {job} has {status.tasks - ended} tasks that are not completed")
        if (status.frames_done, status.frames_contiguous) != (status.facts.frames, status.facts.frames):
            found.append(f"job {job} counts {status.frames_done} of {status.facts.frames} frames")
    by_key = Counter(name.split("/")[1] for name in farm.names("patches/"))
    # A GPU may differ in the last bit between two attempts, the fake engine does not.
    return found + [f"{count} patches of key {key}" for key, count in by_key.items() if count > 1]


def wrong_manifests(farm: FarmUnderTest, job: str, found: Mapping[str, str]) -> list[str]:
    """Whether a job's manifest lists the pictures that are there."""
    manifest = json.loads(farm.blobs.get(keys.manifest(job)))
    listed = {frame["name"]: frame["sha256"] for frame in manifest["frames"]}
    return [] if listed == dict(found) else [f"the manifest of job {job} lists other pictures than there are"]


def doubled_jobs(farm: FarmUnderTest, asked: Collection[str]) -> list[str]:
    """Jobs that nobody has asked for."""
    return [f"job {job} was submitted by nobody" for job in stored_jobs(farm.blobs) if job not in asked]


def steps_of(farm: FarmUnderTest, jobs: Sequence[str]) -> tuple[int, int]:
    """Sampler steps of these jobs: done, and needed."""
    done = sum(farm.farm.status(job).steps_done for job in jobs)
    return done, sum(steps_needed(farm.blobs, farm.farm.document(job)) for job in jobs)


def commits(said: Sequence[Mapping[str, Any]], losses: Sequence[Loss]) -> Commits:
    """What became of the late commits."""
    lost = {loss.fence for loss in losses if loss.lost}
    late = [event for event in said if event.get("event") == "late_commit"]
    accepted = [event for event in late if event["accepted"]]
    return Commits(
        tried=len(late),
        refused=len(late) - len(accepted),
        wrong=tuple(f"{e['log']} {e['task']}" for e in accepted if e["fence"] in lost),
        noticed=sum(e.get("event") == "attempt_ended" and e.get("outcome") == "superseded" for e in said),
    )


def unforeseen(said: Sequence[Mapping[str, Any]]) -> list[str]:
    """Attempts that ended as no kill and no cut explains, and how often."""
    texts = Counter(
        f"attempt ended with {event['outcome']}: {event['error']}"
        for event in said
        if event.get("event") == "attempt_ended" and event.get("outcome") in UNFORESEEN
    )
    return [f"{text} ({count} times)" for text, count in texts.items()]


def late_details(said: Sequence[Mapping[str, Any]]) -> int:
    """Detail tasks whose result came too late."""
    return sum(
        event.get("event") == "finished" and not event["accepted"] and event["task"].startswith("detail.")
        for event in said
    )
