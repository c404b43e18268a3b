from __future__ import annotations

import cv2
import numpy as np
import pytest

from farm.detail.box import Box
from farm.detail.resample import Mask
from farm.detail.segs import Seg, combine_masks, mask_to_segs, segs_scale_match, wrapped_bytes


def _mask(*blobs: Box, size: tuple[int, int] = (60, 80)) -> Mask:
    mask = np.zeros(size, dtype=np.float32)
    for blob in blobs:
        mask[blob.slices] = 1
    return mask


def test_an_empty_mask_has_no_segments() -> None:
    assert mask_to_segs(_mask(), False, 3.0, False) == []
    assert mask_to_segs(_mask(), True, 3.0, False) == []


def test_segments_come_from_the_lowest_first_pixel_to_the_highest() -> None:
    upper, lower, right = Box(2, 2, 12, 12), Box(5, 40, 15, 52), Box(40, 2, 50, 14)
    found = mask_to_segs(_mask(upper, lower, right), False, 1.0, False)
    assert [seg.bbox for seg in found] == [tuple(lower), tuple(right), tuple(upper)]


def test_a_blob_is_kept_if_both_sides_are_larger_than_drop_size() -> None:
    mask = _mask(Box(2, 2, 13, 13), Box(30, 2, 41, 12))
    assert [seg.bbox for seg in mask_to_segs(mask, False, 1.0, False, drop_size=10)] == [(2, 2, 13, 13)]


def test_an_island_in_a_hole_gets_no_segment_of_its_own_and_the_hole_is_filled() -> None:
    mask = _mask(Box(10, 10, 40, 40))
    mask[15:35, 15:35] = 0
    mask[20:30, 20:30] = 1
    (seg,) = mask_to_segs(mask, False, 1.0, False)
    assert seg.mask.min() == 1


def test_without_contour_fill_the_masks_own_values_are_kept_inside_of_the_outline() -> None:
    mask = _mask(Box(10, 10, 40, 40)) * np.float32(0.4)
    mask[20:30, 20:30] = 0
    (seg,) = mask_to_segs(mask, False, 1.0, False, is_contour=False)
    assert np.array_equal(seg.mask, mask[10:40, 10:40])


def test_the_mask_of_a_segment_holds_its_own_blob_only() -> None:
    near = mask_to_segs(_mask(Box(10, 10, 20, 20), Box(24, 10, 34, 20)), False, 3.0, False)
    assert [seg.mask.sum() for seg in near] == [100, 100]


def test_bbox_fill_masks_the_whole_bbox() -> None:
    mask = np.zeros((60, 80), dtype=np.float32)
    cv2.circle(mask, (30, 30), 10, 1, thickness=-1)
    (seg,) = mask_to_segs(mask, False, 2.0, True)
    assert seg.mask.sum() == 21 * 21


def test_what_is_less_than_one_level_of_255_is_not_marked() -> None:
    assert mask_to_segs(_mask(Box(10, 10, 30, 30)) * np.float32(0.9 / 255), False, 2.0, False) == []


def test_values_outside_of_0_and_1_wrap_around_as_bytes() -> None:
    values = np.array([1.2, 2.0, -0.1, np.nan], dtype=np.float32)
    assert wrapped_bytes(values).tolist() == [50, 254, 231, 0]


def test_combined_gives_one_segment_with_inclusive_corners() -> None:
    (seg,) = mask_to_segs(_mask(Box(10, 10, 20, 20), Box(40, 30, 50, 45)), True, 1.0, False)
    assert seg.bbox == (10, 10, 49, 44)


def test_a_stack_of_masks_gives_the_segments_of_each_in_order() -> None:
    first, second = Box(2, 2, 12, 12), Box(30, 30, 45, 45)
    stack = np.stack([_mask(first), _mask(second)])
    assert [seg.bbox for seg in mask_to_segs(stack, False, 1.0, False)] == [tuple(first), tuple(second)]


def test_every_top_level_outline_of_a_random_mask_is_found_once() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        noise = cv2.GaussianBlur(rng.random((70, 90)).astype(np.float32), (9, 9), 3)
        mask = (noise > np.quantile(noise, 0.6)).astype(np.float32)
        found, tree = cv2.findContours(mask.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        top = [cv2.boundingRect(o) for o, links in zip(found, tree[0], strict=True) if links[3] < 0]
        expected = sorted((x, y, x + w, y + h) for x, y, w, h in top if min(w, h) > 1)
        assert sorted(seg.bbox for seg in mask_to_segs(mask, False, 1.5, False)) == expected


def test_segments_of_the_right_size_are_not_scaled() -> None:
    segs = mask_to_segs(_mask(Box(10, 10, 20, 20)), False, 2.0, False)
    assert segs_scale_match(segs, (60, 80), (60, 80)) == segs


def test_segments_of_a_picture_half_as_large_are_doubled() -> None:
    (seg,) = segs_scale_match(
        [Seg((10, 10, 20, 20), Box(5, 5, 25, 30), np.ones((25, 20), dtype=np.float32))], (60, 80), (120, 160)
    )
    assert (seg.bbox, seg.crop_region, seg.mask.shape) == ((20, 20, 40, 40), Box(10, 10, 50, 60), (50, 40))


def test_a_region_that_scaling_leaves_empty_is_refused() -> None:
    with pytest.raises(ValueError, match="no side may be empty"):
        segs_scale_match(
            [Seg((10, 10, 12, 12), Box(10, 10, 12, 12), np.ones((2, 2), dtype=np.float32))], (60, 80), (6, 8)
        )


def test_combined_masks_are_or_ed_and_cut_at_a_tenth() -> None:
    masks = np.array([[[0.05, 0.5, 0.0, 1.0]], [[0.05, 0.0, 0.2, 1.0]]], dtype=np.float32)
    assert combine_masks(masks).tolist() == [[0, 1, 1, 1]]


def test_a_frame_takes_its_own_mask_the_only_one_or_all_of_them() -> None:
    region = Box(0, 0, 2, 1)
    masks = np.array([[[1, 0]], [[0, 1]], [[0, 0]]], dtype=np.float32)
    seg = Seg((0, 0, 2, 1), region, masks)
    assert seg.frame_mask(1, 3).tolist() == [[0, 1]]
    assert seg.frame_mask(1, 5).tolist() == [[1, 1]]
    assert Seg((0, 0, 2, 1), region, masks[:1]).frame_mask(7, 9).tolist() == [[1, 0]]
    assert Seg((0, 0, 2, 1), region, masks[0]).frame_mask(7, 9).tolist() == [[1, 0]]
