"""The embedded model, for tests that need a real one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from workers.gpu.models import Model, load_model

FOLDER = Path(__file__).parents[3] / "assets" / "demo" / "model"


@cache
def demo_model(motion: bool = False) -> Model:
    """Loaded once for all tests."""
    return load_model(FOLDER, motion, torch.device("cpu"), torch.float32)
