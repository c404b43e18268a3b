"""The ledger on Redis. Each verb that changes something is one Lua script, so that it happens whole or not at all."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Sequence

from redis.client import Pipeline

from farm.adapters.ledger_rules import (
    ERROR_MAX,
    EVENTS_KEPT,
    EVENTS_KEPT_S,
    check_job,
    check_outcome,
    check_tasks,
    milliseconds,
    no_job,
    no_task,
)
from farm.adapters.redis_ledger import forms
from farm.adapters.redis_ledger.connection import ANSWER_S, Connection, Observe, whole_ms
from farm.adapters.redis_ledger.counts import Counts
from farm.adapters.redis_ledger.decisions import Decisions
from farm.adapters.redis_ledger.log import Log
from farm.domain.state import Outcome, TaskState
from farm.ports import (
    Drain,
    Ended,
    JobFacts,
    JobStatus,
    Lease,
    NewTask,
    Offer,
    Swept,
    TaskFilter,
    TaskStatus,
    WorkerStatus,
)

BITS = 32
"""Chunks of which is asked in one word."""
PAGE = 500
"""Rows that are read at once."""


class RedisLedger(Decisions, Log, Counts):
    """The `Ledger` of a farm; as many processes as you like share it. Safe for threads.

    Every verb raises Unavailable where Redis cannot be reached, is loading, full, or a replica.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "farm:",
        patience_s: float = 0.0,
        answer_s: float = ANSWER_S,
        clock: Callable[[], float] | None = None,
        events_kept: int = EVENTS_KEPT,
        observe: Observe | None = None,
    ) -> None:
        """
        Args:
            url: as `RedisAddress` takes it: of one server, or of the Sentinels that watch over one.
            prefix: begins every key, so that several farms can share a server.
            patience_s: seconds for which an outage is ridden out before Unavailable is raised; 0 for the API, whose
                users want an answer, minutes for workers, which have nothing better to do.
            answer_s: seconds until a command must be answered.
            clock: for tests, seconds since 1970 in place of the server's own time.
            events_kept: in the log, at the most.
            observe: is told of each answer.
        """
        self._connection = Connection(url, prefix, patience_s, answer_s, clock, observe)
        self._run = self._connection.run
        self._events_kept = events_kept

    def create(self, facts: JobFacts, done_chunks: Sequence[tuple[int, int]] = (), *, recovered: bool = False) -> bool:
        """Open a job. False: it exists."""
        check_job(facts, done_chunks)
        # The mark tells a call that is sent twice, because its answer was lost, from a second call.
        mark, kind = secrets.token_hex(8), "job.recovered" if recovered else "job.submitted"
        fields, done = forms.job_fields(facts), json.dumps(list(done_chunks))
        made = self._run("create", facts.id, fields, done, mark, kind, facts.name)
        return bool(made)

    def extend(self, job: str, tasks: Sequence[NewTask], opened: int) -> tuple[Offer, ...]:
        """Add tasks; those that became ready."""
        check_tasks(tasks)
        answer = self._run("extend", job, forms.new_tasks(tasks), opened)
        if answer is None:
            raise no_job(job)
        return forms.offers(json.loads(answer))

    def claim(self, worker: str, queues: Sequence[str], prefer: Offer | None, ttl_s: float) -> Lease | None:
        """The best ready task of these queues, or None."""
        wish = (prefer.job, prefer.task, prefer.queue) if prefer else ("", "", "")
        answer = self._run("claim", worker, milliseconds(ttl_s), secrets.token_hex(4), *wish, *queues)
        return None if answer is None else forms.lease(*answer)

    def renew(self, leases: Sequence[Lease], ttl_s: float) -> tuple[str, ...]:
        """Lengthen leases: `ok`, `lost` or `canceled` for each."""
        if not leases:
            return ()
        parts = [part for lease in leases for part in (lease.job, lease.task, lease.fence)]
        return tuple(self._run("renew", milliseconds(ttl_s), *parts))

    def progress(self, lease: Lease, step: int, steps: int) -> str:
        """Note sampler progress: `ok`, `lost` or `canceled`."""
        return str(self._run("progress", lease.job, lease.task, lease.fence, step, steps))

    def finish(
        self, lease: Lease, output: str, tasks: Sequence[NewTask] = (), frames: int = 0, seconds: float = 0.0
    ) -> Ended:
        """End an attempt well; a second time with the same fence changes nothing."""
        check_tasks(tasks)
        added, work = forms.new_tasks(tasks), milliseconds(seconds)
        return forms.ended(self._run("finish", lease.job, lease.task, lease.fence, output, added, frames, work))

    def fail(
        self,
        lease: Lease,
        outcome: Outcome,
        error: str,
        retry_in_s: float | None,
        queue: str = "",
        parts: Sequence[NewTask] = (),
    ) -> Ended:
        """End an attempt badly."""
        check_outcome(outcome)
        check_tasks(parts)
        again = "" if retry_in_s is None else max(0, milliseconds(retry_in_s))
        end = (outcome.value, error[:ERROR_MAX], again, queue, forms.new_tasks(parts) if parts else "")
        return forms.ended(self._run("fail", lease.job, lease.task, lease.fence, *end))

    def sweep(self, offer_after_s: float) -> Swept:
        """Look after what nobody looks after; any number of processes may."""
        age = milliseconds(EVENTS_KEPT_S)
        found = json.loads(self._run("sweep", milliseconds(offer_after_s), self._events_kept, age))
        return Swept(forms.offers(found["offers"]), tuple(found["expired"]), tuple(found["jobs"]))

    def ready(self, job: str) -> tuple[Offer, ...]:
        """All ready tasks of a job that runs, in the order in which they are given out."""
        answer = self._run("ready", job)
        if answer is None:
            raise no_job(job)
        return forms.offers(json.loads(answer))

    def status(self, job: str) -> JobStatus:
        """Counts of a job. Raises NotFound."""
        found = self._statuses([job])
        if not found:
            raise no_job(job)
        return found[0]

    def jobs(self, after: str = "", limit: int = 100) -> tuple[JobStatus, ...]:
        """Newest first. Raises NotFound if there is no job `after`."""
        redis, newest = self._connection.redis, "+"
        if after:
            order = self._connection.ask(lambda: redis.hget(self._key(after, "job"), "order"))
            if order is None:
                raise no_job(after)
            newest = f"({order}"
        name = f"{self._connection.prefix}jobs"
        orders = self._connection.ask(lambda: redis.zrevrangebylex(name, newest, "-", 0, limit))
        return tuple(self._statuses([order.rpartition("|")[2] for order in orders]))

    def unfinished(self, user: str) -> dict[str, int]:
        """A user's jobs that have not ended, each with its frames."""
        redis = self._connection.redis
        jobs = self._connection.ask(lambda: redis.zrange(f"{self._connection.prefix}open", 0, -1))

        def fill(pipe: Pipeline) -> None:
            for job in jobs:
                pipe.hmget(self._key(job, "job"), ["user", "facts"])

        found = zip(jobs, self._connection.together(fill), strict=True)
        return {job: int(json.loads(facts)["frames"]) for job, (owner, facts) in found if facts and owner == user}

    def _statuses(self, jobs: Sequence[str]) -> list[JobStatus]:
        # Counts and fields of one moment.
        def fill(pipe: Pipeline) -> None:
            for job in jobs:
                pipe.hgetall(self._key(job, "job"))
                pipe.hgetall(self._key(job, "counts"))
                pipe.hlen(self._key(job, "workers"))

        found = self._connection.together(fill)
        triples = zip(found[::3], found[1::3], found[2::3], strict=True)
        return [forms.job_status(fields, counts, workers) for fields, counts, workers in triples if fields]

    def tasks(self, job: str, which: TaskFilter, after: str = "", limit: int = 200) -> tuple[TaskStatus, ...]:
        """Tasks by id, barriers left out."""
        redis = self._connection.redis
        self._must_exist(job)
        names = which.tasks or self._connection.ask(lambda: redis.hkeys(self._key(job, "rows")))
        wanted = sorted(name for name in set(names) if name > after)
        found: list[TaskStatus] = []
        for first in range(0, len(wanted), PAGE):
            page = (task for task in self._read(job, wanted[first : first + PAGE]) if forms.meant(task, which))
            found.extend(page)
            if len(found) >= limit:
                break
        return tuple(found[:limit])

    def _read(self, job: str, names: Sequence[str]) -> Iterator[TaskStatus]:
        """Those of the named tasks that are there."""
        if names:
            texts = self._connection.ask(lambda: self._connection.redis.hmget(self._key(job, "rows"), list(names)))
            rows = [(name, json.loads(text)) for name, text in zip(names, texts, strict=True) if text]
            yield from (forms.task_status(name, row) for name, row in rows if forms.is_task(row))

    def task(self, job: str, task: str) -> TaskStatus:
        """Raises NotFound."""
        self._must_exist(job)
        for found in self._read(job, [task]):
            return found
        raise no_task(job, task)

    def outputs(self, job: str, tasks: Sequence[str]) -> dict[str, str]:
        """Outputs of those that are completed; `eaten` for those that were eaten."""
        self._must_exist(job)
        names = list(dict.fromkeys(tasks))
        pages = (names[first : first + PAGE] for first in range(0, len(names), PAGE))
        rows = [row for page in pages for row in self._read(job, page)]
        done = {row.id: row.output for row in rows if row.state is TaskState.COMPLETED}
        return done | {row.id: "eaten" for row in rows if row.state is TaskState.EATEN}

    def chunk_states(self, job: str, chunks: Sequence[int]) -> dict[int, str]:
        """`open`, `done` or `failed`."""
        asked = [chunk for chunk in chunks if chunk >= 0]
        # In words, as one command: that of a bit each would cost a worker more than all else it does between two tasks.
        words = sorted({chunk // BITS for chunk in asked})
        wanted = [part for word in words for part in ("GET", f"u{BITS}", f"#{word}")]

        def fill(pipe: Pipeline) -> None:
            pipe.hmget(self._key(job, "job"), ["state", "opened"])
            pipe.smembers(self._key(job, "failed"))
            pipe.execute_command("BITFIELD_RO", self._key(job, "done"), *wanted)  # type: ignore[no-untyped-call]  # untyped there

        (state, opened), failed, found = self._connection.together(fill)
        if state is None:
            raise no_job(job)
        bits = dict(zip(words, found, strict=True))
        done = [bits[chunk // BITS] >> (BITS - 1 - chunk % BITS) & 1 for chunk in asked]
        states = {chunk: "open" for chunk in asked if chunk < int(opened or 0)}
        states |= {chunk: "failed" for chunk in asked if str(chunk) in failed}
        return states | {chunk: "done" for chunk, bit in zip(asked, done, strict=True) if bit}

    def drop(self, job: str, chunks: Sequence[int], tasks: Sequence[str] = ()) -> None:
        """Forget the rows of chunks that are done, if all of their tasks ended well, and of tasks that did."""
        self._run("drop", job, json.dumps(list(chunks)), json.dumps(list(tasks)))

    def forget(self, job: str) -> None:
        """Remove a job."""
        self._run("forget", job)

    def beat(self, worker: WorkerStatus, ttl_s: float) -> Drain | None:
        """A worker's sign of life; the wish that it ends, if there is one."""
        return forms.drain(self._run("beat", worker.id, forms.worker_form(worker), milliseconds(ttl_s)))

    def leave(self, worker: str) -> None:
        """Take a worker off the list."""
        self._run("leave", worker)

    def workers(self) -> tuple[WorkerStatus, ...]:
        """Those alive, by id, with their leases."""
        found = [forms.worker_status(answer) for answer in self._run("workers")]
        return tuple(sorted(found, key=lambda worker: worker.id))

    def alive(self) -> int:
        """How many workers are alive."""
        return int(self._run("alive"))

    def remember(self, key: str, value: str, ttl_s: float) -> str:
        """The value that is kept under `key`."""
        return str(self._run("remember", key, value, whole_ms(ttl_s)))

    def ping(self) -> None:
        """Raises Unavailable with what to check."""
        self._connection.ask(self._connection.redis.ping)

    def hurry(self, patience_s: float) -> None:
        """From now on ride out an outage for `patience_s` seconds at the most, all calls together, also those that are
        under way: for a process that was told to end."""
        self._connection.patience_s = min(patience_s, self._connection.patience_s)
        self._connection.shared = True

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()

    def _must_exist(self, job: str) -> None:
        if not self._connection.ask(lambda: self._connection.redis.exists(self._key(job, "job"))):
            raise no_job(job)

    def _key(self, job: str, part: str) -> str:
        return f"{self._connection.prefix}{{{job}}}:{part}"
