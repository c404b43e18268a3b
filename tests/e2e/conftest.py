"""What the tests of whole farms share: a shot and its reference frames, made once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from farm.adapters.servers import EmbeddedS3
from farm.domain.detailer import JobType
from tests.e2e import reference, shots
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.farm_under_test import FarmUnderTest
from tests.e2e.shots import Handed, Shot

Frames = dict[str, bytes]
Expected = Callable[[JobType], Frames]
"""Job type -> what the plain job of that type must give."""


@pytest.fixture(scope="session")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    """28 frames: four chunks of a `mask` job, five of an `animatediff` job."""
    return shots.make_shot(tmp_path_factory.mktemp("shot"), frames=28)


@pytest.fixture(scope="session")
def handed(shot: Shot, tmp_path_factory: pytest.TempPathFactory) -> Handed:
    """The shot's URIs, which are the same on every farm."""
    with AnyOrderFarm(tmp_path_factory.mktemp("handed")) as farm:
        return shots.hand_in(shot, farm)


@pytest.fixture(scope="session")
def expected(shot: Shot, handed: Handed, tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """The final frames of the plain job of each type, by the sequential reference."""
    made: dict[JobType, Frames] = {}

    def frames(job_type: JobType) -> Frames:
        if job_type not in made:
            folder: Path = tmp_path_factory.mktemp("reference")
            made[job_type] = reference.render(folder, shot, shots.request(handed, job_type))[0]
        return made[job_type]

    return frames


@pytest.fixture(scope="session")
def s3_keys(s3_server: EmbeddedS3) -> Iterator[EmbeddedS3]:
    """The store of all farms, its keys in this process's environment."""
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("FARM_")]:
            environment.delenv(name)
        for name, value in s3_server.environment().items():
            if name.startswith("AWS_"):
                environment.setenv(name, value)
        yield s3_server


@pytest.fixture
def farm(s3_keys: EmbeddedS3, tmp_path: Path) -> Iterator[FarmUnderTest]:
    """A farm with servers and no processes yet."""
    with FarmUnderTest(tmp_path / f"farm-{uuid4().hex[:12]}", s3_keys) as started:
        yield started
