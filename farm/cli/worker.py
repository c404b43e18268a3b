"""`farm workers`: who is alive and what they do."""

from __future__ import annotations

from farm.cli.context import client
from farm.cli.show import AsJson, table, write_json


def workers(as_json: AsJson = False) -> None:
    """Workers that are alive."""
    with client() as farm:
        found = farm.workers()
    if as_json:
        write_json(found)
        return
    rows = [
        (
            worker.id,
            worker.host,
            worker.pid,
            worker.device,
            worker.queues,
            worker.tasks,
            worker.blocked,
            worker.seen[:19],
        )
        for worker in found
    ]
    table(
        ("worker", "host", "pid", "device", "queues", "tasks", "blocked", "seen"),
        rows,
        "No workers are alive. Start one with `farm worker`, or all with `farm up`.",
    )
