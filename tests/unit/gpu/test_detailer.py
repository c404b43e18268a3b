from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from farm.detail.enhance import CropInput
from farm.domain.detailer import REPAINTING, Detailer, JobType
from farm.domain.sampling_names import UnknownSampler
from farm.errors import Canceled, CropTooSmall, Rejected
from tests.unit.gpu.demo import FOLDER
from workers.gpu.batch import Batch
from workers.gpu.detailer import DiffusersEngine, NoSuchDevice
from workers.gpu.engine import Dtype, Engine, open_engine
from workers.gpu.faults import BadModel, ContextTooLong, NotNumbers

PICTURE = np.random.default_rng(0).random((9, 12, 3), dtype=np.float32).repeat(6, axis=0).repeat(6, axis=1)
CHANNELS_OFF = 1e-3
"""Share of values that may be off by one level between batches of other sizes."""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return open_engine("diffusers", device="cpu", threads=1)


def _crops(count: int, mask: bool = False, size: tuple[int, int] = (96, 72), seed: int = 3) -> tuple[CropInput, ...]:
    masks = [np.linspace(0, 1 + k / 10, 72, dtype=np.float32).clip(0, 1)[None].repeat(54, axis=0) for k in range(count)]
    return tuple(
        CropInput(np.roll(PICTURE, k, axis=1), masks[k] if mask else None, size, seed, k) for k in range(count)
    )


def _patches(
    engine: Engine, crops: tuple[CropInput, ...], job_type: JobType = JobType.MASK, **parameters: object
) -> list[NDArray[np.uint8]]:
    detailer = Detailer.model_validate({"steps": 3, "cfg": 1, "denoise": 0.4, "prompt": "sharp"} | parameters)
    refiner = FOLDER if "refiner_ratio" in parameters else None
    return engine.detail(Batch(job_type, detailer, crops, FOLDER, refiner, 200), lambda step, steps: None)


def _off(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> float:
    """Share of values that differ; fails if one differs by more than a level."""
    levels = np.abs(ours.astype(int) - theirs)
    assert levels.max() <= 1
    return float((levels > 0).mean())


@pytest.mark.parametrize("job_type", REPAINTING)
@pytest.mark.parametrize("mask", [False, True], ids=["whole", "mask"])
def test_patches_have_the_size_of_their_crops(engine: Engine, job_type: JobType, mask: bool) -> None:
    patches = _patches(engine, _crops(3, mask), job_type)
    assert [patch.shape for patch in patches] == [(54, 72, 3)] * 3
    assert all(patch.dtype == np.uint8 for patch in patches)
    assert not np.array_equal(patches[0], (PICTURE * 255).astype(np.uint8))


def test_sizes_need_not_be_multiples_of_eight(engine: Engine) -> None:
    assert _patches(engine, _crops(1, size=(83, 61)))[0].shape == (54, 72, 3)
    assert _patches(engine, _crops(2, size=(83, 61)), JobType.ANIMATEDIFF)[1].shape == (54, 72, 3)


@pytest.mark.parametrize("sampler_name", ["euler", "euler_ancestral", "dpmpp_2m_sde"])
def test_on_a_cpu_a_crop_has_the_same_bits_alone_and_in_a_batch(engine: Engine, sampler_name: str) -> None:
    crops = _crops(4, mask=True)
    together = _patches(engine, crops, sampler_name=sampler_name, cfg=1.5)
    for crop, patch in zip(crops, together, strict=True):
        assert np.array_equal(_patches(engine, (crop,), sampler_name=sampler_name, cfg=1.5)[0], patch)


def test_the_same_batch_gives_the_same_bits(engine: Engine) -> None:
    crops = _crops(3, mask=True)
    again = DiffusersEngine("cpu", "fp32", 1)
    for ours, theirs in zip(_patches(engine, crops), _patches(again, crops), strict=True):
        assert np.array_equal(ours, theirs)


def test_frames_of_a_clip_see_each_other(engine: Engine) -> None:
    crops = _crops(4)
    changed = (*crops[:3], CropInput(1 - crops[3].pixels, None, crops[3].size, 3, 3))
    for job_type, seen in ((JobType.MASK, False), (JobType.ANIMATEDIFF, True)):
        ours, theirs = (_patches(engine, batch, job_type)[0] for batch in (crops, changed))
        assert np.array_equal(ours, theirs) != seen


def test_a_clip_longer_than_the_context_is_sampled_in_windows(engine: Engine) -> None:
    crops = _crops(6)
    changed = (*crops[:5], CropInput(1 - crops[5].pixels, None, crops[5].size, 3, 5))
    # One step: from step to step, what a window sees spreads to its neighbors.
    windows = {"context_length": 4, "context_overlap": 2, "steps": 1}
    ours, theirs = (_patches(engine, batch, JobType.ANIMATEDIFF, **windows) for batch in (crops, changed))
    assert np.array_equal(ours[0], theirs[0])
    assert not np.array_equal(ours[2], theirs[2])


def test_shared_noise_makes_still_frames_alike(engine: Engine) -> None:
    still = tuple(CropInput(PICTURE, None, (96, 72), 3, frame) for frame in range(3))
    apart, shared = (_patches(engine, still, JobType.ANIMATEDIFF, noise=kind) for kind in ("independent", "shared"))
    difference = [np.abs(patches[0].astype(int) - patches[1]).mean() for patches in (apart, shared)]
    assert difference[1] < difference[0] / 3


@pytest.mark.parametrize(
    "parameters",
    [
        {"prompt": "blurry"},
        {"cfg": 3},
        {"scheduler": "karras"},
        {"cycle": 2},
        {"seed": 9},
        {"refiner_ratio": 0.4, "sampler_name": "euler_ancestral"},
    ],
    ids=str,
)
def test_parameters_change_the_patch(engine: Engine, parameters: dict[str, object]) -> None:
    seed = parameters.get("seed", 3)
    assert isinstance(seed, int)
    changed = _patches(engine, _crops(1, seed=seed), JobType.MASK, **parameters)[0]
    assert not np.array_equal(changed, _patches(engine, _crops(1))[0])


def test_every_step_of_every_cycle_is_told(engine: Engine) -> None:
    told: list[tuple[int, int]] = []
    detailer = Detailer(steps=3, cycle=2, cfg=1, sampler_name="heun")
    batch = Batch(JobType.MASK, detailer, _crops(2), FOLDER, None, 2)
    engine.detail(batch, lambda step, steps: told.append((step, steps)))
    assert told == [(step, 6) for step in range(1, 7)]


def test_what_a_listener_raises_passes_through(engine: Engine) -> None:
    def stop(step: int, steps: int) -> None:
        raise Canceled("The job was canceled.")

    with pytest.raises(Canceled):
        engine.detail(Batch(JobType.MASK, Detailer(steps=3, cfg=1), _crops(1), FOLDER, None, 1), stop)


def test_a_crop_without_a_latent_pixel_is_refused(engine: Engine) -> None:
    with pytest.raises(CropTooSmall):
        _patches(engine, _crops(1, size=(96, 7)))


def test_a_context_beyond_the_motion_module_is_refused(engine: Engine) -> None:
    with pytest.raises(ContextTooLong, match="32 frames"):
        _patches(engine, _crops(2), JobType.ANIMATEDIFF, context_length=48)
    assert len(_patches(engine, _crops(2), JobType.MASK, context_length=48)) == 2


def test_an_unknown_sampler_is_refused(engine: Engine) -> None:
    with pytest.raises(UnknownSampler):
        _patches(engine, _crops(1), sampler_name="eulr")


def test_values_that_are_not_numbers_are_refused(engine: Engine) -> None:
    with pytest.raises(NotNumbers, match=r"while sampling, computed in float32. Set another .* smaller weights"):
        _patches(engine, _crops(1), prompt="(sharp:1e30)", denoise=1)


def test_values_that_half_precision_cannot_hold_are_refused_with_the_way_out() -> None:
    half = open_engine("diffusers", device="cpu", dtype="fp16")
    with pytest.raises(NotNumbers, match=r"while sampling, computed in float16. Run the worker with FARM_DTYPE=fp32"):
        _patches(half, _crops(1), prompt="(sharp:1e6)", denoise=1)


@pytest.mark.parametrize("job_type", REPAINTING)
def test_an_inpaint_model_that_ignores_its_mask_paints_as_the_plain_one(
    engine: Engine, job_type: JobType, tmp_path: Path
) -> None:
    folder = _inpaint_model(tmp_path / "inpaint")
    detailer = Detailer(steps=2, cfg=1, inpaint_model=True, noise_mask_feather=0)
    crops = _crops(2, mask=True)
    ours, plain = (
        engine.detail(Batch(job_type, detailer, crops, model, None, 2), lambda step, steps: None)
        for model in (folder, FOLDER)
    )
    for one, other in zip(ours, plain, strict=True):
        assert _off(one, other) < CHANNELS_OFF
    with pytest.raises(BadModel, match="inpaint_model"):
        engine.detail(Batch(job_type, Detailer(), crops, folder, None, 2), lambda step, steps: None)


def _inpaint_model(folder: Path) -> Path:
    """The embedded model, with an input for a mask and a masked picture to which it gives no weight."""
    shutil.copytree(FOLDER, folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    first = tensors["conv_in.weight"]
    tensors["conv_in.weight"] = torch.cat([first, torch.zeros_like(first[:, :1]), torch.zeros_like(first)], dim=1)
    save_file(tensors, weights)
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps(config | {"in_channels": 65}))
    return folder


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_paints_nearly_the_same(engine: Engine, dtype: Dtype) -> None:
    half = open_engine("diffusers", device="cpu", dtype=dtype)
    for job_type in REPAINTING:
        ours, theirs = (_patches(one, _crops(2), job_type, cfg=1.5)[0].astype(int) for one in (half, engine))
        assert np.abs(ours - theirs).mean() < 2


def test_a_folder_that_is_no_model_is_refused(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"no model_index\.json"):
        engine.detail(Batch(JobType.MASK, Detailer(), _crops(1), tmp_path, None, 1), lambda step, steps: None)


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(NoSuchDevice, match="FARM_DEVICE=cpu"):
        open_engine("diffusers", device="cuda")


def test_the_engine_names_itself_and_its_device(engine: Engine) -> None:
    assert engine.name.startswith("diffusers-")
    assert engine.device == "cpu"
