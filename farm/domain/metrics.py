"""What the farm counts, for Prometheus: every metric by name, with its labels, and buckets where it is a histogram.

No label ever holds a job or a task: how many series there are depends on what a farm is made of, not on what it did.
"""

from __future__ import annotations

from dataclasses import dataclass

_TASK_S = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_CROP_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_WAIT_S = (0.05, 0.25, 1, 5, 15, 60, 300, 900, 3600, 14400)
_ANSWER_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@dataclass(frozen=True)
class Metric:
    """A counter or a histogram."""

    name: str
    """By Prometheus' conventions: the unit at its end, and `_total` behind it for a counter."""
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, rising, in the unit of its name; none: a counter."""


TASK_SECONDS = Metric(
    "farm_task_seconds", "Seconds from the claim of a task to its commit, of those that ended well.", ("kind",), _TASK_S
)
STAGE_SECONDS = Metric(
    "farm_detail_stage_seconds",
    "Seconds of a detail task (a segment over a run of frames, or a batch of crops) by stage: load, engine, store.",
    ("stage",),
    _TASK_S,
)
CROP_SECONDS = Metric(
    "farm_crop_seconds",
    "Seconds of the engine for one crop (a segment in one frame), by type of job.",
    ("type",),
    _CROP_S,
)
WAIT_SECONDS = Metric(
    "farm_task_wait_seconds", "Seconds for which a task was ready before a worker claimed it.", ("queue",), _WAIT_S
)
FRAMES = Metric("farm_frames_finished_total", "Frames that became final.")
ATTEMPTS = Metric("farm_attempts_total", "Attempts that have ended, by how.", ("kind", "outcome"))
RETRIES = Metric("farm_retries_total", "Attempts after which a task is tried again, by what ended them.", ("reason",))
LEASES_LOST = Metric(
    "farm_leases_lost_total",
    "Leases that ran out (expired) and workers that came too late with what they had made (superseded).",
    ("reason",),
)
STORE_SECONDS = Metric(
    "farm_store_operation_seconds", "Seconds until the store has answered.", ("process", "operation"), _ANSWER_S
)
STORE_ERRORS = Metric(
    "farm_store_errors_total", "Calls that the store could not answer, after all tries.", ("process", "operation")
)
STORE_BYTES = Metric(
    "farm_store_bytes_total", "Bytes that went up to the store, and down from it.", ("process", "direction")
)
LEDGER_SECONDS = Metric(
    "farm_ledger_operation_seconds", "Seconds until Redis has answered a verb.", ("process", "verb"), _ANSWER_S
)
LEDGER_ERRORS = Metric("farm_ledger_errors_total", "Calls that Redis did not answer, each try.", ("process",))
API_REQUESTS = Metric("farm_api_requests_total", "Requests, by route and status.", ("method", "route", "status"))
API_SECONDS = Metric(
    "farm_api_request_seconds", "Seconds until an answer begins, by route.", ("method", "route"), _ANSWER_S
)

METRICS = (
    *(TASK_SECONDS, STAGE_SECONDS, CROP_SECONDS, WAIT_SECONDS, FRAMES, ATTEMPTS, RETRIES, LEASES_LOST),
    *(STORE_SECONDS, STORE_ERRORS, STORE_BYTES, LEDGER_SECONDS, LEDGER_ERRORS, API_REQUESTS, API_SECONDS),
)
