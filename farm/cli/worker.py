"""`farm workers` and `farm worker drain`: who is alive, what they do, and that one should end."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.cli.context import client
from farm.cli.show import AsJson, notes, out, state, table, write_json
from farm.client.answers import WorkerAnswer

Name = Annotated[str, typer.Argument(metavar="NAME", help="The worker's name, as `farm workers` lists it.")]


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
            state(worker.state),
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
        ("worker", "state", "host", "pid", "device", "queues", "tasks", "blocked", "seen"),
        rows,
        "No workers are alive. Start one with `farm worker`, or all with `farm up`.",
    )


def drain(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why; shown with the worker until it has ended.")] = "",
    grace: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=604_800,
            help="Seconds that it may take to finish what it runs; then it hands that back, at no cost of the tasks.",
            show_default="FARM_GRACE_S of that worker",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have a worker take nothing more, finish or hand back what it has, and end.

    What keeps it alive (`farm up`, systemd) does not start it again. `farm worker undrain` takes it back, as long as
    the worker has not ended.
    """
    with client() as farm:
        found = farm.drain(name, reason, grace)
    _told(found, as_json)


def undrain(name: Name, as_json: AsJson = False) -> None:
    """Let a worker that was asked to end, and has not yet, go on."""
    with client() as farm:
        found = farm.undrain(name)
    _told(found, as_json)


def _told(worker: WorkerAnswer, as_json: bool) -> None:
    if as_json:
        write_json(worker)
        return
    out().print(worker.id, state(worker.state))
    if worker.draining:
        left = f"{len(worker.tasks)} tasks to finish or hand back" if worker.tasks else "nothing to finish"
        notes().print(f"It is given nothing more, has {left}, and ends then.")
