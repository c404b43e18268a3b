"""What people decide about a job in the ledger on Redis."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from farm.adapters.ledger_rules import check_action, check_adjust, conflict, in_words, no_job, no_worker
from farm.adapters.redis_ledger import forms
from farm.ports import Drain, JobStatus, Offer, TaskFilter


class Decisions(ABC):
    """The half of the ledger that people speak to."""

    _run: Callable[..., Any]

    @abstractmethod
    def status(self, job: str) -> JobStatus:
        """Counts of a job. Raises NotFound."""

    def act(self, job: str, action: str, reason: str, actor: str) -> JobStatus:
        """Pause, resume, cancel or approve. Raises NotFound, Conflict."""
        check_action(action)
        answer = self._run("act", job, action, in_words(action, reason, actor))
        if answer is None:
            raise no_job(job)
        if answer != "ok":
            raise conflict(job, action, answer)
        return self.status(job)

    def retry(self, job: str, which: TaskFilter, reason: str, actor: str) -> tuple[int, tuple[Offer, ...]]:
        """Reset tasks; reopens an ended job. Raises NotFound, Conflict."""
        answer = self._run("retry", job, forms.task_filter(which), in_words("retry", reason, actor))
        if answer is None:
            raise no_job(job)
        if answer[0] != "ok":
            raise conflict(job, "retry", answer[0])
        return int(answer[1]), forms.offers(json.loads(answer[2]))

    def eat(
        self, job: str, tasks: Sequence[str], again: Sequence[str], chunks: Sequence[int], reason: str, actor: str
    ) -> tuple[int, tuple[Offer, ...]]:
        """Give failed tasks up, try others again. Raises NotFound, Conflict."""
        which = {"tasks": dict.fromkeys(tasks, True), "again": dict.fromkeys(again, True), "chunks": list(chunks)}
        answer = self._run("eat", job, json.dumps(which), in_words("eat", reason, actor))
        if answer is None:
            raise no_job(job)
        if answer[0] != "ok":
            raise conflict(job, "eat", answer[0])
        return int(answer[1]), forms.offers(json.loads(answer[2]))

    def reopen(self, job: str, chunks: Sequence[tuple[int, int, int]], reason: str, actor: str) -> None:
        """Forget all tasks of chunks. Raises NotFound, Conflict."""
        last_first = sorted(chunks, reverse=True)
        answer = self._run("reopen", job, json.dumps(last_first), in_words("retry", reason, actor))
        if answer is None:
            raise no_job(job)
        if answer != "ok":
            raise conflict(job, "retry", answer)

    def unblock(self, job: str, worker: str, reason: str, actor: str) -> int:
        """Forget what a worker ("": any) has failed. Raises NotFound."""
        answer = self._run("unblock", job, worker, in_words("unblock", reason, actor))
        if answer is None:
            raise no_job(job)
        return int(answer)

    def adjust(self, job: str, priority: int | None, max_workers: int | None, reason: str, actor: str) -> JobStatus:
        """Change what is not None. Raises NotFound, Rejected."""
        check_adjust(priority, max_workers)
        values = ["" if value is None else value for value in (priority, max_workers)]
        if self._run("adjust", job, *values, in_words("adjust", reason, actor)) is None:
            raise no_job(job)
        return self.status(job)

    def drain(self, worker: str, wish: Drain) -> Drain:
        """Have a worker be given nothing more. Raises NotFound."""
        kept = forms.drain(self._run("drain", worker, forms.drain_form(wish)))
        if kept is None:
            raise no_worker(worker)
        return kept

    def undrain(self, worker: str) -> bool:
        """Take that wish back; whether there was one. Raises NotFound."""
        answer = self._run("drain", worker, "")
        if answer is None:
            raise no_worker(worker)
        return bool(answer)
