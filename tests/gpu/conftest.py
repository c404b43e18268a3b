"""`make test-gpu`: what only a GPU can show.

`FARM_TEST_DEVICE=cpu` runs the same tests on a CPU, to see that they run.
"""

from __future__ import annotations

import os
from typing import cast

import pytest
import torch

from workers.gpu.detailer import DiffusersEngine
from workers.gpu.engine import Device, Dtype


@pytest.fixture(scope="session")
def device() -> Device:
    wanted = os.environ.get("FARM_TEST_DEVICE", "cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA GPU")
    return cast(Device, wanted)


@pytest.fixture(params=["fp32", "fp16", "bf16"])
def dtype(request: pytest.FixtureRequest, device: Device) -> Dtype:
    found: Dtype = request.param
    if device == "cpu" and found != "fp32":
        pytest.skip("a CPU computes in float32")
    return found


@pytest.fixture
def engine(device: Device, dtype: Dtype) -> DiffusersEngine:
    return DiffusersEngine(device, dtype)
