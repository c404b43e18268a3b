"""`farm job download`: once, or for as long as the job runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farm.cli.context import LONG_PATIENCE_S, client, resolved
from farm.cli.decide import JobId
from farm.cli.faults import FAILED, TIMED_OUT
from farm.cli.show import AsJson, notes, state, write_json
from farm.cli.submit import fetch
from farm.cli.watch import END_CODES
from farm.client.download import Downloaded, Way


def download(
    job_id: JobId,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; made if it is not there.")],
    only: Annotated[list[str] | None, typer.Option(help="Only these files or folders, such as frames.")] = None,
    sync: Annotated[
        bool,
        typer.Option(
            "--sync",
            help="Keep the folder up to date while the job runs, and end with it: 0 completed, 1 failed, 2 canceled, "
            "3 not yet. Ctrl-C at any time; the same command goes on where it was.",
        ),
    ] = False,
    timeout: Annotated[float | None, typer.Option(min=0, help="With --sync: seconds to go on at the most.")] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Also of a job that runs: what there is now, once.")
    ] = False,
    direct: Annotated[bool, typer.Option("--direct", help="Straight from S3, not through the API.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch frames, video and manifest. Files that are there with the same content are not fetched again.

    Each file takes its name when all of it is there. Frames that are made again take the place of the old ones.
    """
    if sync and partial:
        raise typer.BadParameter("--sync follows the job, --partial looks once: give one of them.")
    if timeout is not None and not sync:
        raise typer.BadParameter("--timeout is of --sync.")
    way = Way(partial=partial, direct=direct, timeout_s=timeout)
    with client(LONG_PATIENCE_S) as farm:
        job_id = resolved(job_id)
        try:
            done = fetch(farm, job_id, folder, only=tuple(only or ()), sync=sync, way=way)
        except KeyboardInterrupt:
            if sync:
                notes().print(f"What is in {folder} is whole. The same command goes on from there.", markup=False)
            raise
    if as_json:
        write_json({"job": job_id, "folder": str(folder), "fetched": done.fetched, "kept": done.kept})
    if sync:
        raise typer.Exit(_told(done))


def _told(done: Downloaded) -> int:
    """How the job ended, as an exit code."""
    job = done.job
    notes().print(f"Job {job.id}", state(job.status), f"{job.frames.done} of {job.frames.total} frames.")
    return END_CODES.get(job.status, FAILED) if job.has_ended else TIMED_OUT
