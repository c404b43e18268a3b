from __future__ import annotations

import cv2
import numpy as np
import pytest

from farm.detail.box import Box
from farm.detail.detections import clipped, colors, dilated, dilated_box, likeness, strongest


@pytest.mark.parametrize("dilation", [-7, -4, -1, 0, 1, 2, 9, 10])
def test_a_dilated_box_is_what_becomes_of_its_pixels(dilation: int) -> None:
    mask = np.zeros((60, 60), dtype=np.float32)
    mask[20:35, 22:41] = 1
    box = dilated_box(Box(22, 20, 41, 35), dilation)
    expected = np.zeros_like(mask)
    expected[box.slices] = 1
    np.testing.assert_array_equal(dilated(mask, dilation), expected)
    kernel = np.ones((abs(dilation), abs(dilation)), np.uint8)
    change = cv2.dilate if dilation > 0 else cv2.erode
    np.testing.assert_array_equal(expected, change(mask, kernel) if dilation else mask)


def test_a_box_that_shrinks_away_is_empty() -> None:
    assert dilated_box(Box(0, 0, 5, 5), -6).area == 0


def test_of_boxes_that_overlap_the_strongest_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [30, 30, 40, 40], [0, 0, 10, 30]], dtype=np.float32)
    scores = np.array([0.5, 0.9, 0.2, 0.8], dtype=np.float32)
    assert strongest(boxes, scores, 0.5, 10) == [1, 3, 2]
    assert strongest(boxes, scores, 0.5, 2) == [1, 3]
    assert strongest(np.zeros((0, 4), dtype=np.float32), scores[:0], 0.5, 2) == []


def test_a_box_is_cut_to_its_picture() -> None:
    assert clipped((-4, 5, 120, 70), 100, 60) == (0, 5, 100, 60)


def test_colors_are_much_alike_in_a_little_more_light_and_unlike_in_other_colors() -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(40, 140, (60, 50, 3), dtype=np.uint8)
    assert likeness(colors(picture), colors(picture)) == 1
    assert likeness(colors(picture), colors(picture + np.uint8(6))) > 0.85
    assert likeness(colors(picture), colors(255 - picture)) < 0.5
    assert not colors(picture[:0]).any()
