"""Pictures between ComfyUI and the farm: tensors of 0 to 1 on one side, PNGs on the other."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

F32 = NDArray[np.float32]


def png(pixels: Tensor | NDArray[np.generic]) -> bytes:
    """A PNG of `[H, W]`, `[H, W, 3]` or `[H, W, 4]` in 0..1; values are cut off to 8 bits, as ComfyUI's nodes do."""
    values = np.asarray(pixels.detach().cpu() if isinstance(pixels, Tensor) else pixels, dtype=np.float32)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    levels = np.clip(values * 255.0, 0, 255).astype(np.uint8)
    out = BytesIO()
    Image.fromarray(levels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def pixels_of(data: bytes) -> F32:
    """`[H, W, C]` float32 in 0..1 of a PNG."""
    with Image.open(BytesIO(data)) as picture:
        levels = np.asarray(picture)
    values: F32 = (levels if levels.ndim == 3 else levels[..., None]).astype(np.float32) / 255.0
    return values


def batch(frames: list[F32]) -> Tensor:
    """`[B, H, W, C]` of frames of one size."""
    return torch.from_numpy(np.stack(frames))


def frames_of(image: Tensor) -> list[bytes]:
    """PNGs of an IMAGE `[B, H, W, C]`."""
    return [png(frame) for frame in image]


def masks_of(mask: Tensor) -> list[bytes]:
    """PNGs of a MASK, `[H, W]`, `[B, H, W]` or `[B, 1, H, W]`."""
    flat = mask.reshape(-1, *mask.shape[-2:])
    return [png(one) for one in flat]


def placeholder() -> Tensor:
    """What stands in a list of pictures that would be empty."""
    return torch.zeros((1, 64, 64, 3))
