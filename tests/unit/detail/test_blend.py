from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.detail.blend import (
    Patch,
    compose,
    cut,
    cut_composed,
    fade,
    feather,
    feather_taps,
    from_bytes,
    full_weight,
    paste,
    to_bytes,
)
from farm.detail.box import Box

RNG = np.random.default_rng


def _patch(rng: np.random.Generator, box: Box) -> Patch:
    pixels = rng.random((box.height, box.width, 3), dtype=np.float32)
    return Patch(pixels, rng.random((box.height, box.width), dtype=np.float32), box)


def test_every_level_survives_the_way_to_floats_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_bytes(from_bytes(levels)), levels)


def test_values_are_cut_off_to_levels_not_rounded_and_clipped() -> None:
    assert to_bytes(np.array([0.999, -1, 2, 0.5], dtype=np.float32)).tolist() == [254, 0, 255, 127]


def test_where_the_mask_is_zero_the_frames_bits_are_untouched() -> None:
    rng = RNG(1)
    frame = rng.random((40, 50, 3), dtype=np.float32)
    patch = _patch(rng, Box(5, 6, 25, 36))
    patch.mask[10:20] = 0
    pasted = paste(frame, patch)
    changed = (pasted != frame).any(axis=-1)
    covered = np.zeros((40, 50), dtype=np.bool_)
    covered[patch.box.slices] = patch.mask != 0
    assert not changed[~covered].any()
    assert changed[covered].any()


def test_where_the_mask_is_one_the_patch_is_seen() -> None:
    rng = RNG(2)
    patch = _patch(rng, Box(0, 0, 10, 10))
    patch.mask[:] = 1
    assert np.array_equal(paste(rng.random((10, 10, 3), dtype=np.float32), patch), patch.pixels)


def test_pasting_makes_a_new_frame() -> None:
    frame = np.zeros((10, 10, 3), dtype=np.float32)
    paste(frame, _patch(RNG(3), Box(0, 0, 10, 10)))
    assert not frame.any()


def test_alpha_is_carried_through() -> None:
    rng = RNG(4)
    frame = rng.random((10, 10, 4), dtype=np.float32)
    patch = _patch(rng, Box(2, 2, 8, 8))
    pasted = paste(frame, patch)
    assert np.array_equal(pasted[..., 3], frame[..., 3])
    assert np.array_equal(pasted[..., :3], paste(frame[..., :3], patch))
    assert cut(frame, Box(2, 2, 8, 8)).shape == (6, 6, 3)


def test_what_hangs_over_the_right_and_bottom_edge_is_cut() -> None:
    rng = RNG(5)
    frame = np.zeros((10, 10, 3), dtype=np.float32)
    patch = _patch(rng, Box(6, 7, 16, 17))
    patch.mask[:] = 1
    assert np.array_equal(paste(frame, patch)[7:, 6:], patch.pixels[:3, :4])


def test_a_patch_outside_of_the_frame_changes_nothing() -> None:
    frame = RNG(6).random((10, 10, 3), dtype=np.float32)
    assert np.array_equal(paste(frame, _patch(RNG(6), Box(20, 20, 25, 25))), frame)


@pytest.mark.parametrize("box", [Box(0, 0, 5, 6), Box(-1, 0, 4, 5)], ids=["other-size", "negative-corner"])
def test_a_patch_that_does_not_fit_its_box_is_refused(box: Box) -> None:
    ones = np.ones((5, 5, 3), dtype=np.float32)
    with pytest.raises(ValueError, match="patch of"):
        paste(np.zeros((10, 10, 3), dtype=np.float32), Patch(ones, ones[..., 0], box))


def test_a_blurred_mask_spreads_by_the_radius_and_no_more() -> None:
    mask = np.zeros((61, 61), dtype=np.float32)
    mask[30, 30] = 1
    rows, columns = np.nonzero(feather(mask, 7))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (23, 37, 23, 37)


@given(st.integers(0, 100), st.integers(1, 210))
def test_a_kernel_is_odd_and_fits_its_mask(radius: int, side: int) -> None:
    taps = feather_taps(radius, side)
    assert taps <= max(side, 1)
    assert taps < 3 or taps % 2 == 1


@pytest.mark.parametrize("radius", [1, 5, 20, 100])
def test_a_full_mask_becomes_the_kernels_full_weight(radius: int) -> None:
    blurred = feather(np.ones((250, 230), dtype=np.float32), radius)
    assert np.unique(blurred).tolist() == [full_weight(2 * radius + 1)]
    assert abs(full_weight(2 * radius + 1) - 1) < 5e-6


def test_a_large_blur_agrees_with_one_that_adds_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = (RNG(7).random((2, 90, 80)) > 0.5).astype(np.float32)
    in_order = feather(mask, 15)
    monkeypatch.setattr("farm.detail.blend.EXACT_WORK", 0)
    assert np.abs(feather(mask, 15) - in_order).max() < 3e-6


@given(st.integers(1, 12), st.integers(26, 60), st.integers(26, 60), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_a_blur_is_that_of_a_convolution_in_torch(radius: int, height: int, width: int, seed: int) -> None:
    mask = (RNG(seed).random((height, width)) > 0.4).astype(np.float32)
    taps = 2 * radius + 1
    weights = torch.exp(-0.5 * (torch.linspace(-radius, radius, taps) / 10) ** 2)
    weights = weights / weights.sum()
    padded = torch.nn.functional.pad(torch.from_numpy(mask)[None, None], [radius] * 4, mode="reflect")
    theirs = torch.nn.functional.conv2d(padded, torch.outer(weights, weights)[None, None])[0, 0].numpy()
    assert np.abs(feather(mask, radius) - theirs).max() <= 3e-6


def test_a_stack_of_masks_is_blurred_mask_by_mask() -> None:
    masks = RNG(8).random((3, 40, 30), dtype=np.float32)
    assert np.array_equal(feather(masks, 5)[2], feather(masks[2], 5))


def test_takes_that_agree_fade_into_themselves() -> None:
    patch = _patch(RNG(9), Box(3, 4, 13, 14))
    exact = Patch(from_bytes(to_bytes(patch.pixels)), patch.mask, patch.box)
    faded = fade([exact, exact, exact], [0.1, 0.2, 0.7])
    assert np.array_equal(faded.pixels, exact.pixels)


def test_a_take_of_no_weight_does_not_count() -> None:
    one, other = _patch(RNG(10), Box(0, 0, 5, 5)), _patch(RNG(11), Box(0, 0, 5, 5))
    assert fade([one, other], [1.0, 0.0]) is one


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.99), st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_faded_patch_gives_the_mean_of_what_its_takes_give(seed: int, weight: float, moved: bool) -> None:
    rng = RNG(seed)
    frame = rng.random((30, 30, 3), dtype=np.float32)
    one = _patch(rng, Box(2, 3, 14, 15))
    place = Box(6, 8, 18, 20) if moved else one.box
    other = Patch(rng.random((12, 12, 3), dtype=np.float32), one.mask, place)
    faded = paste(frame, fade([one, other], [weight, 1 - weight]))
    mean = weight * paste(frame, one) + (1 - weight) * paste(frame, other)
    assert np.abs(faded - mean).max() < 1e-5


@pytest.mark.parametrize("weights", [[0.5], [0.5, 0.6], [-0.5, 1.5]])
def test_weights_that_do_not_add_up_are_refused(weights: list[float]) -> None:
    patch = _patch(RNG(12), Box(0, 0, 4, 4))
    with pytest.raises(ValueError, match="sum 1"):
        fade([patch, patch], weights)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_a_crop_of_a_composed_frame_needs_only_the_crop(seed: int) -> None:
    rng = RNG(seed)
    frame = rng.random((30, 30, 3), dtype=np.float32)
    corners = rng.integers(0, 20, (4, 2))
    patches = [_patch(rng, Box(int(x), int(y), int(x) + 13, int(y) + 9)) for x, y in corners]
    box = Box(8, 5, 21, 26)
    assert np.array_equal(cut_composed(frame, patches, box), cut(compose(frame, patches), box))


def test_the_order_of_overlapping_patches_is_part_of_the_result() -> None:
    rng = RNG(13)
    frame = rng.random((20, 20, 3), dtype=np.float32)
    one, other = _patch(rng, Box(0, 0, 12, 12)), _patch(rng, Box(6, 6, 18, 18))
    assert not np.array_equal(compose(frame, [one, other]), compose(frame, [other, one]))
