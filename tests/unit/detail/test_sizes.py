from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.detail.sizes import SamplingSize, SizeRule, sampling_size
from farm.errors import CropTooSmall

sides = st.integers(8, 2000)


def _size(crop: tuple[int, int], bbox: tuple[float, float], rule: SizeRule) -> SamplingSize:
    size = sampling_size(crop, bbox, rule)
    assert size is not None
    return size


def test_the_shorter_side_of_the_bbox_is_brought_to_guide_size() -> None:
    size = _size((300, 200), (100, 64), SizeRule(128, 1024))
    assert (size.width, size.height, size.upscale) == (600, 400, 2.0)


def test_or_the_shorter_side_of_the_crop() -> None:
    size = _size((300, 200), (100, 64), SizeRule(400, 1024, guide_size_for=False))
    assert (size.width, size.height) == (600, 400)


def test_the_longer_side_of_an_enlarged_crop_keeps_to_max_size() -> None:
    size = _size((300, 200), (100, 64), SizeRule(512, 600))
    assert (size.width, size.height) == (600, 400)


def test_a_large_crop_is_sampled_at_its_own_size_above_max_size_with_a_warning() -> None:
    size = _size((800, 600), (700, 500), SizeRule(256, 512))
    assert (size.width, size.height, size.upscale) == (800, 600, 1.0)
    assert "max_size_hard" in size.warnings[0]


def test_max_size_hard_scales_a_large_crop_down() -> None:
    size = _size((800, 600), (700, 500), SizeRule(256, 512, max_size_hard=True))
    assert (size.width, size.height, size.warnings) == (512, 384, ())


def test_without_force_inpaint_a_large_crop_is_left_alone() -> None:
    assert sampling_size((800, 600), (700, 500), SizeRule(256, 512, force_inpaint=False)) is None


@pytest.mark.parametrize(("bbox", "for_bbox"), [((0.0, 5.0), True), ((5.0, 5.0), False)])
def test_a_side_of_zero_is_refused(bbox: tuple[float, float], for_bbox: bool) -> None:
    with pytest.raises(CropTooSmall):
        sampling_size((0, 40), bbox, SizeRule(256, 512, guide_size_for=for_bbox))


@given(sides, sides, st.sampled_from([8, 64]), st.booleans())
def test_with_size_multiple_both_sides_are_multiples(width: int, height: int, multiple: int, hard: bool) -> None:
    rule = SizeRule(384, 1024, size_multiple=multiple, max_size_hard=hard)
    size = _size((width, height), (width / 2, height / 2), rule)
    plain = _size((width, height), (width / 2, height / 2), SizeRule(384, 1024, max_size_hard=hard))
    assert size.width % multiple == size.height % multiple == 0
    assert min(size.width, size.height) >= multiple
    assert abs(size.width - plain.width) < multiple
    assert abs(size.height - plain.height) < multiple


@given(sides, sides, st.sampled_from([1, 8, 64]))
def test_max_size_hard_is_a_limit_for_every_crop(width: int, height: int, multiple: int) -> None:
    rule = SizeRule(384, 1024, size_multiple=multiple, max_size_hard=True)
    size = _size((width, height), (width / 2, height / 2), rule)
    assert max(size.width, size.height) <= 1024
