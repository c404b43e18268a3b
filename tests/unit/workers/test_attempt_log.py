"""What is logged at a task, put aside by attempt, and stored where one ends badly."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.memory_ledger import MemoryLedger
from farm.domain.state import Outcome
from farm.domain.task_log import BYTES_MAX, LINES_MAX
from farm.errors import Unavailable
from farm.ports import Lease
from farm.service.gc import remove_job
from farm.service.task_logs import logs_of
from workers.attempt_log import OPEN_MAX, AttemptLogs, Lines, Which, install

LEASE = Lease("job", "detail.0.1", "detail", "gpu.0", 0, "", "", 2, "inc-claim-7", "w1")
log = structlog.get_logger()


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """Logging as a worker has it; what it would write."""
    written: list[Any] = []

    def keep(_logger: object, _level: str, event: Any) -> Any:  # noqa: ANN401 - structlog's
        written.append(event)
        raise structlog.DropEvent

    before = list(logging.getLogger().handlers)
    structlog.configure(processors=[structlog.processors.add_log_level, keep], cache_logger_on_first_use=False)
    install()
    install()
    yield written
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = before


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


def test_a_bad_end_is_stored_with_what_was_said_in_that_attempt(blobs: MemoryBlobs, logged: list[Any]) -> None:
    logs = AttemptLogs(blobs)
    log.info("before")
    with logs.of(LEASE):
        log.info("loads", model="demo", shape=(1, 2))
        logging.getLogger("a_library").warning("half precision overflows")
        try:
            raise ValueError("odd")
        except ValueError as error:
            log.warning("ended", exc_info=error)
    log.info("after")
    logs.close(LEASE, Outcome.ERROR)
    (found,) = logs_of("job", "detail.0.1", blobs)
    assert (found.worker, found.attempt, found.outcome, found.left_out) == ("w1", 2, "error", 0)
    assert [line["event"] for line in found.lines] == ["begins", "loads", "half precision overflows", "ended"]
    assert (found.lines[0]["kind"], found.lines[0]["fence"]) == ("detail", "inc-claim-7")
    assert (found.lines[1]["model"], found.lines[1]["shape"]) == ("demo", "(1, 2)")
    assert "ValueError: odd" in found.lines[3]["exception"]
    assert "test_attempt_log.py" in found.lines[3]["exception"]
    assert [event["event"] for event in logged] == ["before", "loads", "ended", "after"], "all is written as before"


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.INTERRUPTED, Outcome.SUPERSEDED, Outcome.CANCELED])
def test_what_is_nobodys_fault_is_forgotten(blobs: MemoryBlobs, outcome: Outcome) -> None:
    logs = AttemptLogs(blobs)
    with logs.of(LEASE):
        log.info("one")
    logs.close(LEASE, outcome)
    logs.close(LEASE, Outcome.ERROR)
    assert list(blobs.list("")) == []


def test_all_or_none_are_kept_if_so_set(blobs: MemoryBlobs) -> None:
    kinds: tuple[Which, ...] = ("all", "none")
    for which in kinds:
        logs = AttemptLogs(blobs, which)
        for number, outcome in enumerate((Outcome.OK, Outcome.ERROR)):
            lease = Lease(which, "plan.0", "plan", "cpu", 0, "", "", 1, f"fence-{number}", "w1")
            with logs.of(lease):
                log.info("one")
            logs.close(lease, outcome)
    assert sorted(found.outcome for found in logs_of("all", "plan.0", blobs)) == ["error", "ok"]
    assert logs_of("none", "plan.0", blobs) == []


def test_lines_of_attempts_that_run_at_the_same_time_are_kept_apart(blobs: MemoryBlobs) -> None:
    logs, both = AttemptLogs(blobs), threading.Barrier(2)
    leases = [Lease("job", f"detail.0.{n}", "detail", "gpu.0", 0, "", "", 1, f"f{n}", "w1") for n in range(2)]

    def work(lease: Lease) -> None:
        with logs.of(lease):
            both.wait()
            log.info(lease.task)

    threads = [threading.Thread(target=work, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for lease in leases:
        logs.close(lease, Outcome.ERROR)
        (found,) = logs_of("job", lease.task, blobs)
        assert [line["event"] for line in found.lines] == ["begins", lease.task]


def test_the_last_lines_are_kept_up_to_a_number_and_a_size() -> None:
    many = Lines()
    for number in range(LINES_MAX + 7):
        many.add({"event": number})
    told, left_out = many.told()
    assert (len(told), left_out, told[-1]) == (LINES_MAX, 7, {"event": LINES_MAX + 6})
    large = Lines()
    for number in range(40):
        large.add({"event": "x" * 7000, "number": number})
    told, left_out = large.told()
    assert sum(len(json.dumps(line)) for line in told) <= BYTES_MAX
    assert left_out + len(told) == 40
    assert told[-1]["number"] == 39


def test_attempts_that_nobody_closes_do_not_pile_up(blobs: MemoryBlobs) -> None:
    logs = AttemptLogs(blobs)
    for number in range(3 * OPEN_MAX):
        with logs.of(Lease("job", "t", "detail", "q", 0, "", "", 1, str(number), "w")):
            log.info("one")
    assert len(logs._open) <= OPEN_MAX


def test_a_store_that_is_away_harms_nothing(logged: list[Any]) -> None:
    class Away(MemoryBlobs):
        def put(self, name: str, data: bytes, content_type: str = "") -> None:
            raise Unavailable("the store is away")

    logs = AttemptLogs(Away())
    with logs.of(LEASE):
        log.info("one")
    logs.close(LEASE, Outcome.ERROR)
    assert logged[-1]["event"] == "task_log_not_kept"


def test_logs_go_with_their_job(blobs: MemoryBlobs) -> None:
    logs = AttemptLogs(blobs)
    with logs.of(LEASE):
        log.info("one")
    logs.close(LEASE, Outcome.STUCK)
    assert list(blobs.list("jobs/job/logs/"))
    remove_job("job", blobs, MemoryLedger())
    assert list(blobs.list("jobs/job/")) == []
