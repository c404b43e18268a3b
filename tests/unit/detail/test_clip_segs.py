from __future__ import annotations

import numpy as np

from farm.detail.box import Box
from farm.detail.clip_segs import animatediff_segs, batch_mask_to_segs, union_mask
from farm.detail.resample import Mask


def _masks(*blobs: Box) -> Mask:
    masks = np.zeros((len(blobs), 60, 80), dtype=np.float32)
    for mask, blob in zip(masks, blobs, strict=True):
        mask[blob.slices] = 1
    return masks


def test_a_moving_mask_gives_one_region_and_a_mask_per_frame() -> None:
    masks = _masks(Box(10, 10, 30, 30), Box(20, 10, 40, 30))
    (seg,) = batch_mask_to_segs(masks, False, 1.0, False)
    assert seg.crop_region == Box(10, 10, 40, 30)
    assert np.array_equal(seg.mask, masks[:, 10:30, 10:40])


def test_a_union_taken_in_parts_is_the_union_of_all() -> None:
    masks = np.random.default_rng(1).random((7, 20, 30), dtype=np.float32)
    assert np.array_equal(union_mask(masks[4:], union_mask(masks[:4])), union_mask(masks))


def test_a_single_mask_for_a_clip_gives_static_segments_of_0_and_1() -> None:
    mask = _masks(Box(10, 10, 30, 30))[0] * np.float32(0.5)
    (seg,) = animatediff_segs(mask, False, 2.0, False, contour_fill=False)
    assert seg.mask.ndim == 2
    assert set(np.unique(seg.mask)) == {0, 1}


def test_blobs_whose_filled_boxes_touch_become_one_segment_of_a_clip() -> None:
    mask = np.zeros((60, 80), dtype=np.float32)
    mask[10:30, 10:13] = mask[27:30, 10:30] = 1
    mask[5:16, 15:40] = 1
    assert len(animatediff_segs(mask, False, 1.5, False)) == 2
    assert len(animatediff_segs(mask, False, 1.5, True)) == 1


def test_masks_per_frame_give_segments_with_masks_per_frame() -> None:
    (seg,) = animatediff_segs(_masks(Box(10, 10, 30, 30), Box(12, 10, 32, 30)), False, 2.0, False)
    assert seg.mask.shape[0] == 2


def test_an_empty_clip_has_no_segments() -> None:
    assert animatediff_segs(np.zeros((3, 20, 20), dtype=np.float32), False, 2.0, False) == []
    assert animatediff_segs(np.zeros((20, 20), dtype=np.float32), False, 2.0, False) == []
