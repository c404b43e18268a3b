"""A Celery application as plain as can be, whose one task does nothing: what dispatch costs without a ledger."""

from __future__ import annotations

import os

from celery import Celery

app = Celery("noop", broker=os.environ.get("BENCH_REDIS_URL", "memory://"))
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False)


@app.task(name="noop.nothing")  # type: ignore[untyped-decorator]  # celery is untyped
def nothing(number: int) -> None:
    """Do nothing."""
