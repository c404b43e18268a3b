"""The users of a farm that is hurt: one submits job after job, one asks all the time how they stand."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType

import httpx

from farm.client import Farm as Client
from farm.domain.detailer import JobType
from farm.domain.job import JobRequest
from farm.domain.state import JOB_ENDED
from farm.errors import NotFound, Rejected, Unavailable
from tests.e2e.farm_under_test import FarmUnderTest
from tests.e2e.shots import Handed, request

OPEN_JOBS = 3
"""Jobs that are kept open at once."""
ASK_S = 0.25
"""Seconds between two questions."""
STEPS = 12
"""Sampler steps of a task: each is a call of the ledger."""


def job_request(handed: Handed, seed: int, number: int) -> JobRequest:
    """The job of this number of a run: types take turns, pixels differ from job to job, some want a video."""
    job_type = (JobType.MASK, JobType.ANIMATEDIFF)[number % 2]
    detailer = {"seed": 1000 * seed + number, "steps": STEPS}
    outputs = ("video",) if number % 4 == 2 else ()
    return request(handed, job_type, name=f"{seed}-{number}", detailer=detailer, outputs=outputs)


class Load:
    """Submits over the API, with keys, as a program would; nothing is submitted twice, nothing is given up."""

    def __init__(self, farm: FarmUnderTest, url: str, make: Callable[[int], JobRequest]) -> None:
        self._farm = farm
        self._make = make
        self._url = url
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=loop, name=loop.__name__, daemon=True) for loop in (self._submit, self._ask)
        ]
        self.requests: dict[str, JobRequest] = {}
        """Job -> what was asked for, in order."""
        self.refused: list[str] = []
        """What the API said against requests that are right."""
        self.answers: Counter[str] = Counter()
        """How questions were answered: HTTP status, or `no answer`."""

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Submit and ask no more; returns when the last submission has been answered."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def open_jobs(self) -> int:
        """Jobs that have not ended. Raises Unavailable, NotFound."""
        return sum(self._farm.farm.status(job).state not in JOB_ENDED for job in tuple(self.requests))

    def _submit(self) -> None:
        with Client(self._url, patience_s=5.0) as client:
            while not self._stop.wait(ASK_S):
                try:
                    if self.open_jobs() >= OPEN_JOBS:
                        continue
                except (Unavailable, NotFound):
                    continue  # Redis is away, or was, and knows nothing of the last job yet
                self._one(client, len(self.requests))

    def _one(self, client: Client, number: int) -> None:
        wanted = self._make(number)
        while True:
            try:
                answer = client.submit(wanted, idempotency_key=f"job-{number}")
            except Unavailable:
                time.sleep(ASK_S)
                continue
            except Rejected as error:
                self.refused.append(str(error))
                return
            self.requests[answer.id] = wanted
            return

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=10.0) as client:
            while not self._stop.wait(ASK_S):
                jobs = list(self.requests)
                if not jobs:
                    continue
                try:
                    answer = client.get(f"/api/v1/jobs/{jobs[-1]}")
                except httpx.TransportError:
                    self.answers["no answer"] += 1
                    continue
                self.answers[str(answer.status_code)] += 1
                if answer.status_code not in (200, 503):
                    self.refused.append(f"{answer.status_code}: {answer.text[:300]}")
