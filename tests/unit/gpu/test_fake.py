from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from farm.detail.enhance import CropInput
from farm.domain.detailer import REPAINTING, Detailer, JobType
from farm.errors import Canceled
from workers.gpu.batch import Batch
from workers.gpu.engine import open_engine

ENGINE = open_engine("fake")


PIXELS = np.random.default_rng(3).random((40, 60, 3), dtype=np.float32)


def _crop(
    seed: int = 5,
    frame: int = 0,
    size: tuple[int, int] = (120, 80),
    pixels: NDArray[np.float32] = PIXELS,
    noise_mask: NDArray[np.float32] | None = None,
) -> CropInput:
    return CropInput(pixels, noise_mask, size, seed, frame)


def _patch(crop: CropInput, job_type: JobType = JobType.MASK, **parameters: object) -> NDArray[np.uint8]:
    return _patches((crop,), job_type, **parameters)[0]


def _patches(crops: tuple[CropInput, ...], job_type: JobType, **parameters: object) -> list[NDArray[np.uint8]]:
    batch = Batch(job_type, Detailer.model_validate(parameters), crops, Path("model"), None, 100)
    return ENGINE.detail(batch, lambda step, steps: None)


def test_a_patch_has_the_crops_size_in_eight_bits() -> None:
    patch = _patch(_crop())
    assert patch.shape == (40, 60, 3)
    assert patch.dtype == np.uint8


def test_the_same_inputs_give_the_same_pixels() -> None:
    assert np.array_equal(_patch(_crop()), _patch(_crop()))


@pytest.mark.parametrize(
    "other", [_crop(seed=6), _crop(size=(240, 160)), _crop(pixels=1 - PIXELS)], ids=["seed", "size", "pixels"]
)
def test_pixels_depend_on_the_crop(other: CropInput) -> None:
    assert not np.array_equal(_patch(_crop()), _patch(other))


@pytest.mark.parametrize(
    "parameters",
    [{"prompt": "a fox"}, {"negative": "blur"}, {"denoise": 0.7}, {"steps": 3}, {"sampler_name": "lcm"}],
    ids=str,
)
def test_pixels_depend_on_the_parameters(parameters: dict[str, object]) -> None:
    assert not np.array_equal(_patch(_crop()), _patch(_crop(), JobType.MASK, **parameters))


def test_where_the_noise_mask_is_zero_pixels_stay() -> None:
    mask = np.zeros((40, 60), dtype=np.float32)
    mask[:, 30:] = 1
    crop = _crop(noise_mask=mask)
    patch = _patch(crop)
    assert np.array_equal(patch[:, :30], (crop.pixels[:, :30] * np.float32(255)).astype(np.uint8))
    assert not np.array_equal(patch[:, 30:], (crop.pixels[:, 30:] * np.float32(255)).astype(np.uint8))


@pytest.mark.parametrize("job_type", REPAINTING)
def test_a_patch_does_not_depend_on_the_crops_beside_it(job_type: JobType) -> None:
    crops = tuple(_crop(seed=5, frame=frame) for frame in range(3))
    together = _patches(crops, job_type)
    for crop, patch in zip(crops, together, strict=True):
        assert np.array_equal(_patch(crop, job_type), patch)


def test_in_clips_each_frame_has_its_own_noise_unless_it_is_shared() -> None:
    first, second = _crop(frame=0), _crop(frame=1)
    clip = JobType.ANIMATEDIFF
    assert not np.array_equal(_patch(first, clip), _patch(second, clip))
    assert np.array_equal(_patch(first, clip, noise="shared"), _patch(second, clip, noise="shared"))
    assert np.array_equal(_patch(first, JobType.MASK), _patch(second, JobType.MASK))


def test_every_step_of_every_cycle_is_told_and_what_that_raises_passes_through() -> None:
    told: list[tuple[int, int]] = []

    def on_step(step: int, steps: int) -> None:
        told.append((step, steps))
        if step == 5:
            raise Canceled("stop")

    batch = Batch(JobType.MASK, Detailer(steps=3, cycle=2), (_crop(),), Path("model"), None, 1)
    with pytest.raises(Canceled):
        ENGINE.detail(batch, on_step)
    assert told == [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6)]


def test_the_fake_engine_and_the_names_need_no_torch() -> None:
    code = (
        "import sys, farm.domain.sampling_names; from workers.gpu.engine import open_engine; open_engine('fake');"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_prompt_that_fades_lies_between_both() -> None:
    day, night = (_patch(replace(_crop(), prompt=(text,)), denoise=1).astype(int) for text in ("day", "night"))
    half = _patch(replace(_crop(), prompt=("day",), toward=("night",), share=0.5), denoise=1).astype(int)
    assert np.abs(half - (day + night) / 2).mean() < 1
    assert np.abs(day - night).mean() > 4
