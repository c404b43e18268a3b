from __future__ import annotations

import pytest

from farm.domain.queues import roomier

SMALL = ("gpu.8", "gpu.0")
MIDDLE = ("gpu.24", "gpu.16", "gpu.12", "gpu.8", "gpu.0")
LARGE = ("gpu.80", "gpu.48", *MIDDLE)


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        (SMALL, [SMALL, MIDDLE, LARGE, ("cpu",)], "gpu.12"),
        (("cpu", *MIDDLE), [SMALL, MIDDLE, LARGE], "gpu.48"),
        (LARGE, [SMALL, MIDDLE, LARGE], ""),
        (SMALL, [SMALL, ("cpu",)], ""),
        (("gpu.0",), [], ""),
        (("gpu.0",), [("gpu.0", "gpu.80")], "gpu.80"),
    ],
    ids=str,
)
def test_a_task_goes_to_the_least_class_that_has_more_memory_and_a_worker(
    own: tuple[str, ...], others: list[tuple[str, ...]], expected: str
) -> None:
    assert roomier(own, others) == expected
