"""`farm audit`: who changed what, when, from where and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.text import Text

from farm.cli.context import client, resolved
from farm.cli.gc import seconds
from farm.cli.show import AsJson, table, write_json
from farm.client.people import People
from farm.domain.audit import AuditEntry

COLORS = {"done": "", "refused": "yellow", "failed": "red"}


def audit(
    job_id: Annotated[str, typer.Argument(metavar="[JOB]", help="Only this job's changes; `last`: the newest.")] = "",
    actor: Annotated[str, typer.Option(help="Only what this user did.")] = "",
    action: Annotated[str, typer.Option(help="Only this action, such as job.pause; `job.`: all about jobs.")] = "",
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="Not older than 7d, 12h, 90m, or than a time in ISO 8601.")
    ] = "",
    until: Annotated[str, typer.Option(metavar="WHEN", help="Not newer than that.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at the most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Every change that people made, the newest first: jobs, models, workers, users, keys; also of what is gone.

    Of one job, everybody who may look at it; of the whole farm, admins.
    """
    narrowed = {"actor": actor, "action": action, "since": _when(since, "--since"), "until": _when(until, "--until")}
    with client() as farm:
        people = People(farm.http)
        if job_id and not any(narrowed.values()):
            found = list(people.job_audit(resolved(job_id), limit))
        else:
            found = list(people.audit(limit, job=resolved(job_id) if job_id else "", **narrowed))
    if as_json:
        write_json(found)
        return
    table(
        ("time (UTC)", "who", "role", "from", "action", "of", "outcome", "reason", "details"),
        [_row(entry) for entry in found],
        "Nothing that fits was changed.",
    )


def _row(entry: AuditEntry) -> tuple[object, ...]:
    return (
        entry.at[:19].replace("T", " "),
        entry.actor,
        entry.role.value,
        entry.address,
        entry.action,
        entry.job or entry.target,
        Text(entry.outcome, COLORS[entry.outcome]),
        entry.reason,
        entry.error or ", ".join(f"{name}={value}" for name, value in entry.details.items() if value not in ("", None)),
    )


def _when(text: str, option: str) -> str:
    """A time in ISO 8601, of that or of an age."""
    if not text:
        return ""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return (datetime.now(UTC) - timedelta(seconds=seconds(text, option))).isoformat()
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()
