"""Celery's tasks: decode the offer, let the runner claim. What is done, and whether again, the ledger says."""

from __future__ import annotations

from celery import Celery

from farm.ports import Offer
from workers.runner import Runner

KINDS = ("ingest", "detect", "scan", "plan", "detail", "paste", "encode")
"""One Celery task each, named `farm.<kind>`."""


def register(app: Celery, runner: Runner) -> None:
    """Bind the tasks to this process's runner."""

    def add(kind: str) -> None:
        def run(job: str, task: str, queue: str = "") -> int:
            return runner.serve(Offer(job, task, kind, queue))

        app.task(run, name=f"farm.{kind}", ignore_result=True)

    for kind in KINDS:
        add(kind)
