"""Fixtures for all tests."""

from hypothesis import settings

from tests.servers import (  # noqa: F401 - a fixture is known to the tests by being imported here
    blobs_s3,
    farm_environment,
    redis_server,
    redis_url,
    s3_server,
)

# No test is timed: machines are busy at times.
settings.register_profile("farm", deadline=None)
settings.load_profile("farm")
