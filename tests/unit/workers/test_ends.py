"""How errors end attempts: whose fault they are, and whether the task is tried again."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from farm.adapters.file_blobs import FolderBusy
from farm.adapters.s3_errors import translate
from farm.domain.state import Outcome
from farm.errors import BadFrame, Canceled, DiskFull, LeaseLost, OutOfMemory, ToldToEnd, Unavailable, disk_full
from workers.runner import judge


@pytest.mark.parametrize(
    ("error", "outcome", "again"),
    [
        (BadFrame(3, "it is cut"), Outcome.ERROR, False),
        (RuntimeError("odd"), Outcome.ERROR, True),
        (OutOfMemory("small"), Outcome.OOM, True),
        (Unavailable("the store is away"), Outcome.INTERRUPTED, True),
        (ToldToEnd("w1"), Outcome.INTERRUPTED, True),
        (LeaseLost("w2 has it"), Outcome.SUPERSEDED, False),
        (Canceled("job"), Outcome.CANCELED, False),
        (DiskFull("/cache"), Outcome.ERROR, True),
    ],
)
def test_an_error_says_whose_fault_it_is(error: BaseException, outcome: Outcome, again: bool) -> None:
    assert judge(error) == (outcome, again)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_what_to_free(number: int) -> None:
    full = OSError(number, "No space left on device", "/cache/models/x.part")
    found = disk_full(full)
    assert found is not None
    assert "/cache/models/x.part" in str(found)
    assert "FARM_CACHE_GB" in str(found)


def test_other_errors_are_no_full_disk() -> None:
    assert disk_full(OSError(errno.EIO, "bad sector")) is None
    assert disk_full(ValueError("odd")) is None


def test_a_full_store_is_told_with_what_to_free() -> None:
    answer: Any = {"Error": {"Code": "XMinioStorageFull"}, "ResponseMetadata": {"HTTPStatusCode": 507}}
    said = str(translate(ClientError(answer, "PutObject"), "s3://b/k", "http://s3"))
    assert "The store is full" in said
    busy = FolderBusy(Path("/store"), OSError(errno.ENOSPC, "No space left on device"))
    assert "Free space there" in str(busy)
