from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from farm.detail.blend import Pixels, from_bytes, to_bytes
from farm.detail.box import Box
from farm.detail.enhance import (
    CropInput,
    conditioning_mask,
    crop_seed,
    enhance,
    inpaint_pixels,
    noise_mask,
    sampler_mask,
)
from farm.detail.resample import Mask, resize_mask
from farm.errors import CropTooSmall

Latents = NDArray[np.float32]


def _resize(pixels: Pixels, width: int, height: int) -> Pixels:
    planes = [resize_mask(pixels[..., channel], width, height) for channel in range(3)]
    return from_bytes(to_bytes(np.stack(planes, axis=-1)))


@dataclass
class _Tools:
    """A model whose latent is the picture itself; it keeps what it was asked."""

    encoded: list[tuple[int, ...]] = field(default_factory=list)
    seeds: list[list[int]] = field(default_factory=list)
    masks: list[Sequence[Mask] | None] = field(default_factory=list)
    concat: list[Latents | None] = field(default_factory=list)

    @property
    def factor(self) -> int:
        return 8

    def encode(self, pixels: Sequence[Pixels]) -> Latents:
        self.encoded.append(np.stack(pixels).shape)
        return np.stack(pixels)

    def sample(
        self, latents: Latents, masks: Sequence[Mask] | None, seeds: Sequence[int], concat: Latents | None
    ) -> Latents:
        self.seeds.append(list(seeds))
        self.masks.append(masks)
        self.concat.append(concat)
        return latents

    def decode(self, latents: Latents) -> Sequence[Pixels]:
        return list(latents)


def _crop(size: tuple[int, int] = (32, 40), mask: bool = True, seed: int = 7) -> CropInput:
    rng = np.random.default_rng(3)
    pixels = from_bytes(rng.integers(0, 256, (20, 16, 3)).astype(np.uint8))
    return CropInput(pixels, np.ones((20, 16), dtype=np.float32) if mask else None, size, seed, 0)


def test_a_crop_is_sampled_at_its_sampling_size_and_comes_back_at_its_own() -> None:
    tools = _Tools()
    patches = enhance([_crop(), _crop()], tools, _resize)
    assert tools.encoded == [(2, 40, 32, 3)]
    assert [patch.shape for patch in patches] == [(20, 16, 3)] * 2


def test_patches_are_steps_of_one_level() -> None:
    (patch,) = enhance([_crop()], _Tools(), _resize)
    assert np.array_equal(from_bytes(to_bytes(patch)), patch)


def test_each_cycle_samples_with_the_next_seed() -> None:
    tools = _Tools()
    enhance([_crop(seed=7), _crop(seed=20)], tools, _resize, cycle=3)
    assert tools.seeds == [[7, 20], [8, 21], [9, 22]]


def test_seeds_add_up_and_begin_at_zero_again_after_the_last() -> None:
    assert crop_seed(100, segment=2, variation=3, cycle=1) == 106
    assert crop_seed(2**64 - 1, segment=1) == 0


def test_a_mask_job_hands_its_mask_over_at_crop_size_an_animatediff_job_at_sampling_size() -> None:
    mask, sized = sampler_mask(_crop(), False), sampler_mask(_crop(), True)
    assert mask is not None
    assert sized is not None
    assert (mask.shape, sized.shape) == ((20, 16), (40, 32))


def test_without_mask_mode_the_whole_crop_is_repainted() -> None:
    mask = np.ones((20, 16), dtype=np.float32)
    assert noise_mask(mask, 5, mask_mode=False) is None
    tools = _Tools()
    enhance([_crop(mask=False)], tools, _resize, inpaint_model=True)
    assert tools.masks == [None]
    assert tools.concat == [None]


def test_an_inpaint_model_is_shown_the_picture_with_its_masked_part_gray() -> None:
    tools = _Tools()
    enhance([_crop()], tools, _resize, inpaint_model=True)
    assert tools.concat[0] is not None
    assert np.unique(tools.concat[0]).tolist() == [0.5]


def test_what_an_inpaint_model_is_shown_is_cut_to_whole_latent_pixels_in_the_middle() -> None:
    pixels = np.zeros((21, 19, 3), dtype=np.float32)
    pixels[2:18, 1:17] = 1
    shown, mask = inpaint_pixels(pixels, np.zeros((7, 7), dtype=np.float32))
    assert shown.shape == (16, 16, 3)
    assert mask.shape == (16, 16)
    assert shown.min() == 1


def test_a_crop_without_a_latent_pixel_is_refused() -> None:
    with pytest.raises(CropTooSmall):
        enhance([_crop(size=(100, 7))], _Tools(), _resize)


def test_a_further_prompts_mask_is_cut_at_the_crop_with_columns_scaled_by_heights_as_the_node_does() -> None:
    mask = np.arange(40 * 60, dtype=np.float32).reshape(40, 60)
    assert np.array_equal(conditioning_mask(mask, Box(5, 10, 25, 30), (40, 60)), mask[10:30, 5:25])
    taller = conditioning_mask(mask, Box(10, 4, 31, 12), (20, 60))
    assert np.array_equal(taller, mask[4:12, 20:60])
    halves = conditioning_mask(mask, Box(5, 7, 13, 15), (80, 120))
    assert np.array_equal(halves, mask[4:8, 2:6])  # 2.5, 3.5, 6.5, 7.5: halves go to the even number
    assert not conditioning_mask(mask, Box(50, 0, 60, 10), (10, 60)).any()
