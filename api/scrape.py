"""What Prometheus is told: the farm as its ledger sees it now, what its workers have counted, and this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from farm.domain.metrics import METRICS
from farm.domain.queues import CPU, QUEUES
from farm.domain.state import JOB_ENDED, JobState, TaskState
from farm.errors import FarmError
from farm.ports import JobStatus, QueueLoad, WorkerStatus
from farm.service.farm import Farm
from farm.service.tally import ABOVE_ALL, SUM, Series, Tally, series

log = structlog.get_logger()
COUNTED = 1000
"""Jobs, the newest, that metrics count."""
PAGE = 200
GIB = 1 << 30
KINDS = ("ingest", "scan", "plan", "detail", "paste", "encode")
ENDED = "ended"
"""The job state of tasks whose jobs have ended, however they did."""
WORK = (("engine", "engine_busy_s"), ("other", "other_busy_s"))
"""What a worker's time goes into -> what it says of it."""


class Demand(NamedTuple):
    """A queue's load, and how many workers it could use."""

    queue: str
    waiting: int
    running: int
    busy: int
    """Workers at work whose own queue this is: the largest class that they serve."""

    @property
    def workers(self) -> int:
        """Workers that have something to do: those at work, and one for each task that waits."""
        return self.waiting + self.busy


def demands(loads: Sequence[QueueLoad], workers: Sequence[WorkerStatus]) -> tuple[Demand, ...]:
    """Each queue's demand."""
    busy = Counter(own_queue(worker) for worker in workers if worker.tasks)
    return tuple(Demand(*load, busy[load.queue]) for load in loads)


def own_queue(worker: WorkerStatus) -> str:
    """The queue that says what a worker is: its largest class of GPU, else `cpu`."""
    return next((queue for queue in QUEUES if queue != CPU and queue in worker.queues), CPU)


def registry(farm: Farm, tally: Tally) -> CollectorRegistry:
    """All that is told, read anew for each scrape."""
    found = CollectorRegistry()
    found.register(_Scrape(farm, tally))
    ProcessCollector(registry=found)
    PlatformCollector(registry=found)
    return found


class _Scrape(Collector):
    def __init__(self, farm: Farm, tally: Tally) -> None:
        self._farm = farm
        self._tally = tally

    def describe(self) -> list[Metric]:
        return []  # without it, registering would collect once

    def collect(self) -> Iterator[Metric]:
        """The farm's metrics; of this process alone where Redis does not answer."""
        try:
            told, found = self._farm.ledger.tallied(), list(self._of_the_farm())
        except FarmError as error:
            log.warning("scraped_without_redis", error=str(error))
            told, found = {}, []
        yield _one("farm_ledger_up", "Whether Redis answered this scrape.", float(bool(found)))
        yield from found
        yield from _counted({**told, **self._tally.totals()})

    def _of_the_farm(self) -> Iterator[Metric]:
        jobs, workers = list(_newest(self._farm)), self._farm.workers()
        yield from _of_jobs(jobs)
        yield from _of_queues(demands(self._farm.ledger.queues(), workers))
        yield _one("farm_workers", "Workers alive.", len(workers))
        yield from _of_workers(workers)


def _of_jobs(jobs: Sequence[JobStatus]) -> Iterator[Metric]:
    states = GaugeMetricFamily("farm_jobs", "Jobs by state, of the newest 1,000.", labels=["state"])
    counts = Counter(job.state for job in jobs)
    for state in JobState:
        states.add_metric([state.value], counts[state])
    yield states
    tasks: Counter[tuple[str, str, TaskState]] = Counter()
    for job in jobs:
        for (kind, task_state), number in job.kinds.items():
            tasks[_job_state(job), kind, task_state] += number
    totals = GaugeMetricFamily("farm_tasks", "Planned tasks of these jobs by state.", labels=["state"])
    for task_state in TaskState:
        totals.add_metric([task_state.value], sum(job.counts[task_state] for job in jobs))
    yield totals
    rows = GaugeMetricFamily(
        "farm_job_tasks",
        "The same by kind of task, its state and the state of its job.",
        labels=["job_state", "kind", "state"],
    )
    for job_state in (*(state.value for state in JobState if state not in JOB_ENDED), ENDED):
        for kind in KINDS:
            for task_state in TaskState:
                rows.add_metric([job_state, kind, task_state.value], tasks[job_state, kind, task_state])
    yield rows
    yield _one("farm_frames_done", "Final frames of these jobs.", sum(job.frames_done for job in jobs))


def _job_state(job: JobStatus) -> str:
    return ENDED if job.state in JOB_ENDED else job.state.value


def _of_queues(found: Sequence[Demand]) -> Iterator[Metric]:
    tasks = GaugeMetricFamily("farm_queue_tasks", "Tasks of jobs that run, by queue.", labels=["queue", "state"])
    demand = GaugeMetricFamily(
        "farm_queue_demand",
        "Tasks that wait, and workers at work whose largest class it is: the workers to have.",
        labels=["queue"],
    )
    for one in found:
        tasks.add_metric([one.queue, "waiting"], one.waiting)
        tasks.add_metric([one.queue, "running"], one.running)
        demand.add_metric([one.queue], one.workers)
    yield tasks
    yield demand


def _of_workers(workers: Sequence[WorkerStatus]) -> Iterator[Metric]:
    """Series by worker: as many as are alive. A worker that is started anew has another name."""
    labels = ["worker", "host", "queue", "device", "engine"]
    info = GaugeMetricFamily("farm_worker_info", "1 for each worker that is alive.", labels=labels)
    leases = GaugeMetricFamily("farm_worker_tasks", "Tasks that a worker has claimed.", labels=["worker"])
    draining = GaugeMetricFamily("farm_worker_draining", "Whether it takes no more tasks.", labels=["worker"])
    done = CounterMetricFamily("farm_worker_finished_tasks", "Tasks that ended well.", labels=["worker"])
    busy = CounterMetricFamily(
        "farm_worker_busy_seconds",
        "Seconds at work: with its engine (the GPU), with others.",
        labels=["worker", "part"],
    )
    used = GaugeMetricFamily("farm_worker_gpu_memory_used_bytes", "Memory of its GPU in use.", labels=["worker"])
    total = GaugeMetricFamily("farm_worker_gpu_memory_bytes", "Memory of its GPU.", labels=["worker"])
    for one in workers:
        says = one.info
        info.add_metric([one.id, one.host, own_queue(one), one.device, str(says.get("engine_version", ""))], 1)
        leases.add_metric([one.id], len(one.tasks))
        draining.add_metric([one.id], float(bool(says.get("draining"))))
        done.add_metric([one.id], _number(says, "finished"))
        for part, name in WORK:
            busy.add_metric([one.id, part], _number(says, name))
        if "memory_gib" in says:
            used.add_metric([one.id], _number(says, "memory_used_gib") * GIB)
            total.add_metric([one.id], _number(says, "memory_gib") * GIB)
    yield from (info, leases, draining, done, busy, used, total)


def _number(says: Mapping[str, object], name: str) -> float:
    value = says.get(name, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def _counted(values: Mapping[str, float]) -> Iterator[Metric]:
    for metric in METRICS:
        found = series(metric, values)
        if not metric.buckets:
            counter = CounterMetricFamily(metric.name, metric.text, labels=metric.labels)
            for one in found:
                counter.add_metric(one.labels, one.parts.get("", 0.0))
            yield counter
            continue
        histogram = HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
        for one in found:
            histogram.add_metric(one.labels, list(_rising(metric.buckets, one)), one.parts.get(SUM, 0.0))
        yield histogram


def _rising(buckets: Sequence[float], one: Series) -> Iterator[tuple[str, float]]:
    """Buckets as Prometheus counts them: each with all that are below it."""
    below = 0.0
    for bound in (*(f"{bound:g}" for bound in buckets), ABOVE_ALL):
        below += one.parts.get(bound, 0.0)
        yield bound, below


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _newest(farm: Farm) -> Iterator[JobStatus]:
    after = ""
    for _ in range(COUNTED // PAGE):
        page = farm.jobs(after, PAGE)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].facts.id
