from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.detail.blend import Patch, Pixels, compose, cut, feather, from_bytes, to_bytes
from farm.detail.box import Box
from farm.detail.depends import NOTHING, dependences, levels, waits, writes
from farm.detail.resample import Mask

SIDE = 48


def _scene(rng: np.random.Generator, count: int) -> list[tuple[Box, Mask]]:
    """Random regions, each with a feathered mask that leaves parts of it untouched."""
    scene = []
    for _ in range(count):
        x, y = (int(value) for value in rng.integers(0, SIDE - 12, 2))
        width, height = (int(value) for value in rng.integers(8, 30, 2))
        region = Box(x, y, min(SIDE, x + width), min(SIDE, y + height))
        mask = np.zeros((region.height, region.width), dtype=np.float32)
        mask[2 : region.height // 2, 3 : region.width // 2] = rng.integers(0, 4) > 0
        scene.append((region, feather(mask, int(rng.integers(0, 4)))))
    return scene


def _repaint(pixels: Pixels, number: int) -> Pixels:
    """Stands for a model: every pixel of the patch depends on all pixels of the crop."""
    repainted = (pixels[::-1, ::-1] + pixels.mean() + np.float32(0.17 * number)) % 1
    return from_bytes(to_bytes(repainted))


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_any_order_that_respects_the_waits_and_pastes_last_in_order_equals_the_loop(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    base = from_bytes(rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8))
    scene = _scene(rng, count)
    looped = base
    for number, (region, mask) in enumerate(scene):
        looped = compose(looped, [Patch(_repaint(cut(looped, region), number), mask, region)])

    waiting = dependences([region for region, _ in scene], [writes(mask, region) for region, mask in scene])
    patches: dict[int, Patch] = {}
    dice = random.Random(seed)
    while len(patches) < count:
        ready = [j for j in range(count) if j not in patches and all(i in patches for i in waiting[j])]
        j = dice.choice(ready)
        region, mask = scene[j]
        crop = cut(compose(base, [patches[i] for i in waiting[j]]), region)
        patches[j] = Patch(_repaint(crop, j), mask, region)
    assert np.array_equal(compose(base, [patches[j] for j in range(count)]), looped)


def test_segments_that_do_not_meet_never_wait() -> None:
    left, right = Box(0, 0, 10, 10), Box(10, 0, 20, 10)
    full = np.ones((10, 10), dtype=np.float32)
    assert dependences([left, right], [writes(full, left), writes(full, right)]) == [(), ()]


def test_crops_may_overlap_without_waiting_if_nothing_is_written_in_the_overlap() -> None:
    mask = np.zeros((10, 10), dtype=np.float32)
    mask[:, :4] = 1
    assert not waits(writes(mask, Box(0, 0, 10, 10)), Box(5, 0, 15, 10))
    assert waits(writes(mask, Box(0, 0, 10, 10)), Box(3, 0, 13, 10))


def test_waiting_is_decided_by_pixels_not_by_the_rectangle_around_them() -> None:
    mask = np.eye(20, dtype=np.float32)
    assert not waits(writes(mask, Box(0, 0, 20, 20)), Box(12, 0, 20, 8))
    assert waits(writes(mask, Box(0, 0, 20, 20)), Box(12, 6, 20, 14))


def test_a_segment_waits_if_any_frame_is_written_in_its_crop() -> None:
    masks = np.zeros((3, 10, 10), dtype=np.float32)
    masks[1, 9, 9] = 0.001
    assert waits(writes(masks, Box(0, 0, 10, 10)), Box(9, 9, 30, 30))


def test_a_skipped_segment_is_waited_for_by_none() -> None:
    region = Box(0, 0, 10, 10)
    assert writes(np.zeros((10, 10), dtype=np.float32), region) is NOTHING
    assert dependences([region, region], [NOTHING, NOTHING]) == [(), ()]


def test_levels_count_the_longest_way_of_waits() -> None:
    assert levels([(), (0,), (), (1, 2), (0,)]) == [0, 1, 0, 2, 1]
