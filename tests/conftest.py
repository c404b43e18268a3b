"""Fixtures for all tests."""

import os

from hypothesis import settings

from tests.servers import (  # noqa: F401 - a fixture is known to the tests by being imported here
    blobs_s3,
    farm_environment,
    redis_server,
    redis_url,
    s3_server,
)

# No test is timed: machines are busy at times. CI tries the same examples every time; a desk looks for new ones.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")
