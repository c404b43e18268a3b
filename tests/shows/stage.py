"""Where the shows are played: real servers in a folder that goes afterwards, and a way to speak."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from unittest.mock import patch

import structlog

from farm.adapters.servers import EmbeddedS3
from tests.e2e import shots
from tests.e2e.farm_under_test import FarmUnderTest
from tests.e2e.shots import Shot


@dataclass
class Stage:
    """A folder and an S3 server for any number of farms."""

    folder: Path
    s3: EmbeddedS3
    _numbers: Iterator[int] = field(default_factory=count)

    def farm(self, **settings: object) -> FarmUnderTest:
        """A farm with a Redis and a prefix of its own, to be entered."""
        return FarmUnderTest(self.new("farm"), self.s3, **settings)

    def new(self, name: str) -> Path:
        """A path where nothing is."""
        return self.folder / f"{name}-{next(self._numbers)}"

    def shot(self, frames: int = 28) -> Shot:
        """The clip of the end-to-end tests."""
        return shots.make_shot(self.new("shot"), frames)


@contextmanager
def stage() -> Iterator[Stage]:
    """Start an S3 server; in the end everything is stopped and removed."""
    structlog.configure(processors=[silent])
    with tempfile.TemporaryDirectory(prefix="farm-show-") as folder:
        s3 = EmbeddedS3(Path(folder))
        s3.start()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FARM_")}
        keys = {name: value for name, value in s3.environment().items() if name.startswith("AWS_")}
        try:
            with patch.dict(os.environ, {**kept, **keys}, clear=True):
                yield Stage(Path(folder), s3)
        finally:
            s3.stop(grace_s=0)


def say(*lines: str) -> None:
    """Print lines, at once."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def silent(logger: object, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Drop what is logged: shows speak for themselves."""
    raise structlog.DropEvent
