"""What a command works with: the environment, completed by the farm of this folder, and a client."""

from __future__ import annotations

import os
from pathlib import Path

from farm.client import Farm
from farm.errors import Rejected
from farm.local.place import missing_variables, read_place
from farm.settings import Settings

PATIENCE_S = 2.0
"""Seconds for which a single command asks again while nothing answers: a person waits."""
LONG_PATIENCE_S = 120.0
"""The same for commands that follow a job: a farm may be restarted meanwhile."""


def settings(data: Path | None = None) -> Settings:
    """The environment; what it leaves open comes from the farm that `farm up` started in this folder, if any.

    The environment itself is completed too, since S3's keys are read there by their standard names.
    """
    if data is not None:
        os.environ["FARM_DATA_DIR"] = str(data)
    place = read_place(Settings.read().data_dir)
    if place is not None:
        os.environ.update(missing_variables(place, os.environ))
    return Settings.read()


def client(patience_s: float = PATIENCE_S) -> Farm:
    """A client of the farm that the settings name."""
    found = settings()
    return Farm(found.url, found.api_key, patience_s=patience_s)


def resolved(job_id: str) -> str:
    """A job's id; `last` is the newest job's."""
    if job_id != "last":
        return job_id
    with client() as farm:
        newest = farm.jobs(limit=1)
    if not newest:
        raise Rejected("There is no `last` job: this farm has none yet. Submit one with `farm job submit`.")
    return newest[0].id
