"""The farm of the end-to-end tests."""

from tests.e2e.conftest import (  # noqa: F401 - a fixture is known to the tests by being imported here
    farm,
    s3_keys,
)
