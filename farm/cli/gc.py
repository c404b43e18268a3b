"""`farm gc`: free what no job needs any more. For whoever runs the farm: it works on the store itself."""

from __future__ import annotations

import getpass
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from farm.adapters.clock import random_mark, system_mint
from farm.adapters.connect import connect
from farm.cli.context import settings
from farm.cli.show import AsJson, notes, out, size, table, write_json
from farm.domain.audit import By
from farm.domain.people import Role
from farm.ports import Blobs
from farm.service.audit import Audit, Change
from farm.service.gc import GcRequest, OnObjects, collect

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"^(\d+(?:\.\d+)?)([smhd])$")


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be freed.")] = False,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Also remove jobs that ended so long ago: 30d, 12h.")
    ] = None,
    jobs: Annotated[list[str] | None, typer.Option("--job", help="Also remove this job. May be given often.")] = None,
    keep_outputs: Annotated[
        bool, typer.Option("--keep-outputs", help="Of removed jobs keep frames, videos and manifests.")
    ] = False,
    grace: Annotated[
        str, typer.Option(metavar="AGE", help="Leave alone what is younger: a task may be about to use it.")
    ] = "24h",
    reason: Annotated[str, typer.Option(help="Why; kept in the audit.")] = "",
    as_json: AsJson = False,
) -> None:
    """Free patches, ingested frames and uploads that no job refers to, and old jobs if they are named.

    What a running job needs is never touched. It may be stopped at any time and run again. It needs the settings of
    the store and of Redis, as workers do.
    """
    connected = connect(settings())
    request = GcRequest(
        now=time.time(),
        grace_s=seconds(grace, "--grace"),
        older_than_s=seconds(older_than, "--older-than") if older_than is not None else None,
        jobs=tuple(jobs or ()),
        keep_outputs=keep_outputs,
        dry_run=dry_run,
    )
    with recorded(connected.blobs, request, reason), _progress() as on_objects:
        found = collect(request, connected.blobs, connected.ledger, on_objects)
    if as_json:
        write_json({"dry_run": dry_run, **vars(found)})
        return
    rows = [(kind, count, size(found.bytes[kind])) for kind, count in found.objects.items()]
    table(("kind", "objects", "bytes"), rows, "There is nothing to free.")
    for text in found.notes:
        notes().print(f"Note: {text}", markup=False)
    done = "would be freed" if dry_run else "were freed"
    total = sum(found.objects.values())
    out().print(f"{total} objects, {size(sum(found.bytes.values()))}, {done}; {len(found.jobs)} jobs removed.")


def seconds(text: str, option: str) -> float:
    """Seconds of `30d`, `12h`, `90m`, `45s`."""
    match = _SPAN.match(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no age; write 30d, 12h, 90m or 45s.", param_hint=option)
    return float(match[1]) * UNITS[match[2]]


def recorded(blobs: Blobs, request: GcRequest, reason: str) -> AbstractContextManager[object]:
    """Keeps the collection in the audit, if anything is to be removed."""
    if request.dry_run:
        return nullcontext()
    by = By(_operator(), Role.ADMIN, socket.gethostname())
    asked = {name: value for name, value in vars(request).items() if name not in ("now", "dry_run")}
    return Audit(blobs, system_mint().now, random_mark).change(by, Change("farm.gc", reason=reason, details=asked))


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"  # in a container, a user may have no name


@contextmanager
def _progress() -> Iterator[OnObjects]:
    """How many objects of each kind were looked at; nothing where there is no terminal."""
    console = notes()
    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed} objects"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("looking at jobs", total=None)
        yield lambda kind, seen: bars.update(bar, description=kind, completed=seen)
