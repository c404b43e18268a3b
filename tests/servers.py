"""Real servers for tests, started once per run on free loopback ports, in a folder that goes afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from farm.adapters.s3 import S3Blobs
from farm.adapters.server_programs import NoServerProgram
from farm.adapters.servers import EmbeddedRedis, EmbeddedS3


@contextmanager
def running(server: EmbeddedRedis | EmbeddedS3) -> Iterator[None]:
    """`server`, started, and killed in the end. Without its program a test is skipped on a desk and fails in CI."""
    try:
        server.start()
    except NoServerProgram as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    try:
        yield
    finally:
        server.stop(grace_s=0)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A Redis for the whole run."""
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis_server"))
    with running(server):
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedS3]:
    """A SeaweedFS for the whole run."""
    server = EmbeddedS3(tmp_path_factory.mktemp("s3_server"))
    with running(server):
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """Where an empty Redis is: what other tests left is gone."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def blobs_s3(s3_server: EmbeddedS3) -> S3Blobs:
    """An empty store on the real S3: a prefix that no other test has."""
    return S3Blobs(s3_server.place(f"test-{uuid4().hex}"))


@pytest.fixture
def farm_environment(
    redis_url: str, s3_server: EmbeddedS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The variables of a whole farm of this test's own, set in this process and good for its children."""
    variables = {
        **s3_server.environment(),
        "FARM_REDIS_URL": redis_url,
        "FARM_S3_PREFIX": f"test-{uuid4().hex}",
        "FARM_DATA_DIR": str(tmp_path),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables
