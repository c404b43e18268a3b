"""A sample of the table of `tests.shows.sampling_table`: every sampler once, every schedule once."""

from __future__ import annotations

from itertools import cycle, islice

import pytest

from farm.domain.sampling_names import SAMPLERS, SCHEDULERS
from tests.unit.gpu.sampling_cells import Cell, check

DIAGONAL = list(zip(SAMPLERS, islice(cycle(SCHEDULERS), len(SAMPLERS)), strict=True))
"""Longer than either list: each name comes at least once."""


@pytest.mark.parametrize(("number", "names"), list(enumerate(DIAGONAL)), ids=[f"{a}-{b}" for a, b in DIAGONAL])
def test_a_crop_is_sampled_to_numbers_the_same_twice_over_and_alone_as_in_a_batch(
    number: int, names: tuple[str, str]
) -> None:
    found = check(Cell(*names, denoise=1.0 if number % 4 < 2 else 0.5, masked=number % 2 == 0, crops=3, network="unet"))
    assert (found.fault, found.refusal) == ("", "")


def test_a_combination_that_cannot_run_is_refused_in_words() -> None:
    assert "needs 2 steps or more" in check(Cell("uni_pc", "normal", steps=1)).refusal
    assert "There is no scheduler 'karas'" in check(Cell("euler", "karas")).refusal
