"""The engine on a GPU: near the CPU's pixels, in every precision, alone and in a batch, with too little memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from farm.detail.enhance import CropInput
from farm.domain.detailer import REPAINTING, Detailer, JobType
from farm.domain.model import Family
from tests.unit.gpu.demo import FOLDER
from tests.unit.gpu.families import Tiny
from workers.gpu.batch import Batch
from workers.gpu.detailer import DiffusersEngine
from workers.gpu.engine import Device, Dtype

PICTURE = np.random.default_rng(0).random((16, 16, 3), dtype=np.float32).repeat(8, axis=0).repeat(8, axis=1)
LEVELS_OFF = {"fp32": 0.5, "fp16": 2.0, "bf16": 8.0}
"""Mean difference to the CPU's float32, in levels of 8 bits; bfloat16 moves the embedded model's colors by 5."""
BATCH = 8


def _crops(count: int, side: int = 128) -> tuple[CropInput, ...]:
    mask = np.linspace(0, 1, 128, dtype=np.float32)[None].repeat(128, axis=0)
    return tuple(CropInput(np.roll(PICTURE, k, axis=1), mask, (side, side), 3, k) for k in range(count))


def _detail(
    engine: DiffusersEngine, crops: tuple[CropInput, ...], job_type: JobType = JobType.MASK, model: Path = FOLDER
) -> list[NDArray[np.uint8]]:
    detailer = Detailer.model_validate({"steps": 4, "cfg": 1.5, "denoise": 0.4, "prompt": "sharp"})
    batch = Batch(job_type, detailer, crops, model, None, 200)
    return engine.detail(engine.prepare(batch), lambda step, steps: None)


def _off(ours: list[NDArray[np.uint8]], theirs: list[NDArray[np.uint8]]) -> float:
    return float(np.abs(np.stack(ours).astype(int) - np.stack(theirs)).mean())


@pytest.mark.parametrize("job_type", REPAINTING)
def test_a_gpus_pixels_are_near_those_of_the_cpu(job_type: JobType, engine: DiffusersEngine, dtype: Dtype) -> None:
    reference = _detail(DiffusersEngine("cpu", "fp32"), _crops(3), job_type)
    assert _off(_detail(engine, _crops(3), job_type), reference) < LEVELS_OFF[dtype]


def test_a_crop_looks_the_same_alone_and_in_a_batch(engine: DiffusersEngine, dtype: Dtype) -> None:
    together = _detail(engine, _crops(BATCH))
    alone = [_detail(engine, (crop,))[0] for crop in _crops(BATCH)]
    assert _off(alone, together) < LEVELS_OFF[dtype]


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_every_family_runs(family: Family, engine: DiffusersEngine, tmp_path: Path) -> None:
    folder = Tiny(family, prediction="v_prediction" if family == "sd2" else "epsilon").folder(tmp_path / family)
    patches = _detail(engine, _crops(2), model=folder)
    assert all(patch.std() > 0 for patch in patches)


def test_what_does_not_fit_is_done_in_parts(device: Device, dtype: Dtype) -> None:
    if device == "cpu":
        pytest.skip("a CPU's memory is not reckoned with")
    engine = DiffusersEngine(device, dtype)
    whole = _detail(engine, _crops(BATCH, 512))
    peak = torch.cuda.max_memory_allocated()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(peak / total / 2)
    try:
        parts = _detail(DiffusersEngine(device, dtype), _crops(BATCH, 512))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert _off(parts, whole) < LEVELS_OFF[dtype]


def test_a_compiled_network_gives_the_same_picture(device: Device, dtype: Dtype) -> None:
    plain, compiling = DiffusersEngine(device, dtype), DiffusersEngine(device, dtype, compile_recurring=True)
    expected = _detail(plain, _crops(2))
    for _ in range(20):
        found = _detail(compiling, _crops(2))
    assert _off(found, expected) < LEVELS_OFF[dtype]
