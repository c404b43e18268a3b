"""Batches: what a crop shares with others, what is prepared before, and what is done where memory is short."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.autoencoders.vae import Decoder
from numpy.typing import NDArray
from torch import Tensor

from farm.detail.enhance import CropInput
from farm.detail.hooks import DetailerHook
from farm.domain.detailer import REPAINTING, Detailer, JobType
from farm.errors import OutOfMemory
from tests.unit.gpu.demo import FOLDER
from workers.gpu import detailer
from workers.gpu.batch import Batch
from workers.gpu.detailer import DiffusersEngine

PICTURE = np.random.default_rng(0).random((9, 12, 3), dtype=np.float32).repeat(6, axis=0).repeat(6, axis=1)


def _crops(count: int, size: tuple[int, int] = (96, 72)) -> tuple[CropInput, ...]:
    masks = [np.linspace(0, 1 + k / 10, 72, dtype=np.float32).clip(0, 1)[None].repeat(54, axis=0) for k in range(count)]
    return tuple(CropInput(np.roll(PICTURE, k, axis=1), masks[k], size, 3, k) for k in range(count))


def _batch(crops: tuple[CropInput, ...], job_type: JobType = JobType.MASK, **parameters: object) -> Batch:
    values = {"steps": 3, "cfg": 1.5, "denoise": 0.4, "prompt": "sharp"} | parameters
    return Batch(job_type, Detailer.model_validate(values), crops, FOLDER, None, 200)


def _engine() -> DiffusersEngine:
    """One that has learned nothing yet."""
    return DiffusersEngine("cpu", "fp32", 1)


def _patches(engine: DiffusersEngine, batch: Batch) -> list[NDArray[np.uint8]]:
    return engine.detail(batch, lambda step, steps: None)


def _latents(engine: DiffusersEngine, batch: Batch) -> Tensor:
    """What sampling makes of crops, before it is decoded and rounded to 8 bits."""
    with torch.inference_mode():
        tools = engine.tools(batch, lambda step, steps: None)
        prepared = engine.prepare(batch).prepared
        assert prepared is not None
        masks = [mask for mask in prepared.masks if mask is not None]
        seeds = [crop.seed for crop in batch.crops]
        return tools.sample(tools.encode(prepared.pixels), masks or None, seeds, None)


@pytest.mark.parametrize("sampler_name", ["euler", "dpmpp_2m_sde", "heunpp2", "uni_pc"])
def test_a_crop_alone_and_in_a_batch_of_eight_are_the_same_latents(sampler_name: str) -> None:
    engine, crops = _engine(), _crops(8, size=(64, 48))
    together = _latents(engine, _batch(crops, sampler_name=sampler_name))
    for place in (0, 3, 7):
        alone = _latents(engine, _batch((crops[place],), sampler_name=sampler_name))
        assert torch.equal(alone[0], together[place])


@pytest.mark.parametrize("job_type", REPAINTING)
def test_what_was_prepared_before_gives_the_same_bits(job_type: JobType) -> None:
    engine = _engine()
    batch = _batch(_crops(3, size=(83, 61)), job_type)
    ready = engine.prepare(batch)
    assert ready.prepared is not None
    for ours, theirs in zip(_patches(engine, ready), _patches(engine, batch), strict=True):
        assert np.array_equal(ours, theirs)
    assert ready.rungs == batch.rungs == []


def test_where_memory_is_short_the_same_patches_come_in_smaller_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detailer, "ROWS_AT_ONCE", 16)
    batch = _batch(_crops(4))
    plenty = _patches(_engine(), batch)
    calls = _scarce_unet(monkeypatch, samples=3)
    scarce = _engine()
    for ours, theirs in zip(_patches(scarce, batch), plenty, strict=True):
        levels = np.abs(ours.astype(int) - theirs)
        assert levels.max() <= 1
        assert (levels > 0).mean() < 1e-3
    assert calls[:5] == [8, 4, 2, 2, 2]
    calls.clear()
    _patches(scarce, batch)
    assert set(calls) == {2}
    assert batch.rungs == []


def test_a_unet_that_never_fits_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    _scarce_unet(monkeypatch, samples=0)
    with pytest.raises(OutOfMemory, match="run the UNet"):
        _patches(_engine(), _batch(_crops(2)))


def _scarce_unet(monkeypatch: pytest.MonkeyPatch, samples: int) -> list[int]:
    """UNets of models that are loaded from now on hold so many samples in a call; the sizes of their calls."""
    kind: Any = UNet2DConditionModel
    whole = kind.forward
    calls: list[int] = []

    def forward(self: Any, x: Tensor, *rest: Any, **named: Any) -> Any:  # noqa: ANN401  diffusers is untyped
        calls.append(len(x))
        if len(x) > samples:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, x, *rest, **named)

    monkeypatch.setattr(kind, "forward", forward)
    return calls


def test_a_batch_whose_pictures_went_in_tiles_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Decoder.forward

    def forward(self: Any, x: Tensor, *rest: Any) -> Any:  # noqa: ANN401  diffusers is untyped
        if x.shape[0] * x.shape[2] * x.shape[3] > 80:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, x, *rest)

    monkeypatch.setattr(Decoder, "forward", forward)
    engine, batch, small = _engine(), _batch(_crops(2)), _batch(_crops(2, size=(64, 48)))
    _patches(engine, engine.prepare(batch))
    assert batch.rungs == ["vae_decode_tiles_2"]
    _patches(engine, small)
    assert small.rungs == []


class Larger(DetailerHook[Tensor]):
    """A hook of somebody else's that samples at another size."""

    def touch_scaled_size(self, width: int, height: int) -> tuple[int, int]:
        """Half as large again."""
        return width * 3 // 2, height * 3 // 2


def test_what_was_prepared_is_made_anew_where_a_hook_changes_the_size() -> None:
    engine, crops = _engine(), _crops(2, size=(64, 48))
    batch = replace(_batch(crops, hooks=[{"kind": "plugin", "name": "larger"}]), plugins=(Larger(),))
    ready, plain = _patches(engine, engine.prepare(batch)), _patches(engine, batch)
    for ours, theirs in zip(ready, plain, strict=True):
        assert np.array_equal(ours, theirs)
    assert not np.array_equal(plain[0], _patches(engine, _batch(crops))[0])
