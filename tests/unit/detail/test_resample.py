from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.detail.resample import resize_mask

sides = st.integers(1, 150)


@given(sides, sides, sides, sides, st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_masks_are_scaled_as_torch_does(
    height: int, width: int, wanted_height: int, wanted_width: int, seed: int
) -> None:
    mask = np.random.default_rng(seed).random((height, width), dtype=np.float32)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(mask)[None, None], size=(wanted_height, wanted_width), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    ours = resize_mask(mask, wanted_width, wanted_height)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 2.4e-7  # processors without fused multiply-add round twice


def test_a_stack_is_scaled_mask_by_mask() -> None:
    masks = np.random.default_rng(0).random((3, 20, 30), dtype=np.float32)
    assert np.array_equal(resize_mask(masks, 70, 90)[1], resize_mask(masks[1], 70, 90))


def test_the_same_size_gives_the_same_values() -> None:
    mask = np.random.default_rng(0).random((20, 30), dtype=np.float32)
    assert np.array_equal(resize_mask(mask, 30, 20), mask)


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (-3, 5)])
def test_an_empty_side_is_refused(width: int, height: int) -> None:
    with pytest.raises(ValueError, match="no side may be empty"):
        resize_mask(np.ones((4, 4), dtype=np.float32), width, height)
