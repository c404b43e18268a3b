"""Frames that were left out have a picture in the video all the same."""

from __future__ import annotations

import pytest

from workers.steps.encode import held


def frames(*positions: int) -> list[dict[str, int]]:
    """Records of final frames."""
    return [{"position": position} for position in positions]


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ((4, 5, 6, 7), [4, 5, 6, 7]),
        ((4, 6, 7), [4, 4, 6, 7]),
        ((4, 7), [4, 4, 4, 7]),
        ((6, 7), [6, 6, 6, 7]),
        ((4, 5), [4, 5, 5, 5]),
        ((), []),
    ],
)
def test_the_picture_before_stands_for_one_that_is_missing(found: tuple[int, ...], shown: list[int]) -> None:
    assert [frame["position"] for frame in held(frames(*found), 4, 8)] == shown
