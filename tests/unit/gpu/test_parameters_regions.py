"""Parameters of both nodes that decide where a segment lies and how large it is sampled, one by one (SPEC 2, 4, 6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from farm.domain.detailer import JobType
from tests.unit.gpu.node_at_work import MIDDLE, Mask, NodeAtWork, marked, picture, planned
from tests.unit.gpu.parameters import CLIP, MASK, holds

both = pytest.mark.parametrize("kind", [MASK, CLIP])
WIDE = (12, 18, 36, 30)
"""24 x 12 px; at twice its size it fits the picture."""


def _size(kind: JobType, box: tuple[int, int, int, int], **parameters: Any) -> tuple[int, int]:  # noqa: ANN401 - fields of Detailer
    (task,) = planned(kind, marked(box), **{"max_size": 1024, **parameters}).plan.tasks
    return task.crops[0].size


def _regions(kind: JobType, mask: Mask, **parameters: Any) -> list[tuple[int, int, int, int]]:  # noqa: ANN401 - fields of Detailer
    return [crop.region for task in planned(kind, mask, **parameters).plan.tasks for crop in task.crops]


@both
@holds("guide_size")
def test_guide_size_is_what_the_shorter_side_is_brought_to(kind: JobType) -> None:
    assert _size(kind, WIDE, guide_size=64, crop_factor=1) == (128, 64)
    assert _size(kind, WIDE, guide_size=128, crop_factor=1) == (256, 128)


@both
@holds("guide_size_for")
def test_guide_size_for_says_whether_the_bboxs_or_the_crops_shorter_side_is_meant(kind: JobType) -> None:
    assert _size(kind, WIDE, guide_size=64, guide_size_for=True) == (256, 128)
    assert _size(kind, WIDE, guide_size=64, guide_size_for=False) == (128, 64)


@both
@holds("max_size")
def test_max_size_limits_the_longer_side_of_an_enlarged_crop_and_no_other(kind: JobType) -> None:
    assert _size(kind, WIDE, guide_size=64, max_size=100, crop_factor=1) == (99, 49)  # cut off
    large = np.ones((30, 100), dtype=np.float32)
    (task,) = planned(kind, large, guide_size=64, max_size=64, crop_factor=1).plan.tasks
    assert task.crops[0].size == (100, 30)


@both
@holds("max_size_hard")
def test_max_size_hard_scales_a_crop_down_that_is_too_large_by_itself(kind: JobType) -> None:
    large = np.ones((30, 100), dtype=np.float32)
    size = {"guide_size": 64, "max_size": 64, "crop_factor": 1}
    plans = [planned(kind, large, **size, max_size_hard=hard).plan for hard in (False, True)]
    assert [plan.tasks[0].crops[0].size for plan in plans] == [(100, 30), (64, 19)]
    assert ["above max_size 64" in " ".join(plan.warnings) for plan in plans] == [True, False]


@both
@holds("size_multiple")
def test_size_multiple_rounds_both_sides_to_its_multiples(kind: JobType) -> None:
    assert _size(kind, WIDE, guide_size=68, crop_factor=1) == (136, 68)
    assert _size(kind, WIDE, guide_size=68, crop_factor=1, size_multiple=8) == (136, 72)
    assert _size(kind, WIDE, guide_size=68, crop_factor=1, size_multiple=64) == (128, 64)


@both
@holds("crop_factor")
def test_crop_factor_is_the_crops_side_over_the_bboxs_as_far_as_the_picture_goes(kind: JobType) -> None:
    assert _regions(kind, marked(MIDDLE), crop_factor=1) == [MIDDLE]
    assert _regions(kind, marked(MIDDLE), crop_factor=2) == [(12, 12, 36, 36)]
    assert _regions(kind, marked(MIDDLE), crop_factor=100) == [(0, 0, 48, 48)]


@both
@holds("drop_size")
def test_drop_size_drops_what_has_a_side_that_is_not_larger(kind: JobType) -> None:
    small, large = (2, 2, 12, 20), (20, 20, 31, 31)
    assert len(_regions(kind, marked(small, large), drop_size=9)) == 2
    assert _regions(kind, marked(small, large), drop_size=10, crop_factor=1) == [large]
    assert _regions(kind, marked(small, large), drop_size=11) == []


def _ring() -> Mask:
    mask = marked((10, 10, 40, 40))
    mask[18:32, 18:32] = 0
    return mask


def _corner() -> Mask:
    mask = marked((10, 10, 40, 16))
    mask[10:40, 10:16] = 1
    return mask


def _changed(node: NodeAtWork, kind: JobType, mask: Mask, **parameters: Any) -> NDArray[np.bool_]:  # noqa: ANN401 - fields of Detailer
    painted = node.paint(kind, mask, feather=0, denoise=1, crop_factor=1.2, **parameters)
    return np.asarray((painted.frame != picture()).any(axis=2))


@both
@holds("bbox_fill")
def test_bbox_fill_repaints_the_bbox_instead_of_the_mask_in_it(kind: JobType, node: NodeAtWork) -> None:
    plain, filled = (_changed(node, kind, _corner(), bbox_fill=fill) for fill in (False, True))
    assert not plain[_corner() == 0].any()
    assert filled[16:40, 16:40].mean() > 0.9
    assert not filled[marked((10, 10, 40, 40)) == 0].any()


@both
@holds("contour_fill")
def test_contour_fill_repaints_holes_in_the_mask_too(kind: JobType, node: NodeAtWork) -> None:
    hollow, filled = (_changed(node, kind, _ring(), contour_fill=fill) for fill in (False, True))
    assert not hollow[18:32, 18:32].any()
    assert filled[18:32, 18:32].mean() > 0.9
    assert not filled[marked((10, 10, 40, 40)) == 0].any()


@both
@holds("mask")
def test_each_part_of_the_mask_is_a_segment_and_nothing_else_is_repainted(kind: JobType, node: NodeAtWork) -> None:
    mask = marked((2, 2, 14, 14), (30, 30, 44, 44))
    changed = _changed(node, kind, mask)
    assert changed[mask == 1].mean() > 0.9
    assert not changed[mask == 0].any()
    assert len(_regions(kind, mask)) == 2


@holds("mask", "follow", of=[MASK])
def test_a_mask_jobs_frame_has_its_own_masks_segments() -> None:
    boxes = (MIDDLE, (2, 2, 14, 14))
    for follow in (False, True):
        plan = planned(MASK, [marked(box) for box in boxes], frames=2, crop_factor=1, follow=follow).plan
        assert sorted((crop.frame, crop.region) for task in plan.tasks for crop in task.crops) == [*enumerate(boxes)]


@holds("mask", of=[CLIP])
def test_a_clips_segment_has_one_region_around_all_masks_and_each_frames_own_mask(node: NodeAtWork) -> None:
    masks = [marked((10, 10, 24, 24)), marked((20, 20, 34, 34))]
    painted = node.paint(CLIP, masks, frames=2, feather=0, crop_factor=1)
    assert {crop.region for crop in painted.crops} == {(10, 10, 34, 34)}
    for number, (mask, frame) in enumerate(zip(masks, painted.frames, strict=True)):
        changed = (frame != picture(number)).any(axis=2)
        assert changed[mask == 1].mean() > 0.9
        assert not changed[mask == 0].any()
