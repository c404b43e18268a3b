"""Golden rows of whole nodes with real networks: crops, masks, models, patches, pasted frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from farm.adapters.pictures import lanczos
from farm.detail.blend import Patch, Pixels, compose, cut, feather, from_bytes, to_bytes
from farm.detail.box import Box
from farm.detail.enhance import CropInput, crop_seed, enhance, noise_mask
from farm.detail.resample import Mask
from farm.detail.sizes import SizeRule, sampling_size
from workers.gpu.detailer import DiffusionTools
from workers.gpu.noise import clip_streams, crop_streams
from workers.gpu.sampling import Sampling

if TYPE_CHECKING:
    from tests.golden.comfy import Arrays, Models, Row

LEVELS, SHARE = 2, 0.02
"""Levels of 255 by which a value may differ, and the share of the values that may differ at all."""
ROUNDING = 1e-3
"""Levels that do not count as a difference."""


def node_faults(models: Models, row: Row, arrays: Arrays) -> list[str]:
    """How far our frames are from the node's."""
    frames = [from_bytes(frame) for frame in arrays["image"]]
    segments = zip(arrays["crop_regions"].tolist(), arrays["bboxes"].tolist(), strict=True)
    for number, (region, bbox) in enumerate(segments):
        masks = _masks(arrays["mask"], Box(*region), bbox, len(frames))
        patches = _patches(models, row, arrays, frames, _Segment(number, Box(*region), bbox, masks))
        if number == 0 and "cropped_enhanced_0" in arrays:
            made = np.stack([patch.pixels for patch in patches])
            if faults := _faults("first patch", made, arrays["cropped_enhanced_0"]):
                return faults
        frames = [compose(frame, [patch]) for frame, patch in zip(frames, patches, strict=True)]
    return _faults("result", np.stack(frames), arrays["output"])


class _Segment:
    def __init__(self, number: int, region: Box, bbox: list[int], masks: list[Mask]) -> None:
        self.number = number
        self.region = region
        self.bbox_size = (bbox[2] - bbox[0], bbox[3] - bbox[1])
        self.masks = masks


def _masks(mask: NDArray[Any], region: Box, bbox: list[int], frames: int) -> list[Mask]:
    """The segment's mask for each frame, at the region's size: of one mask what lies in the bbox, of many all."""
    if mask.ndim == 3:
        return [one[region.slices].astype(np.float32) for one in mask]
    x1, y1, x2, y2 = bbox
    own = np.zeros(mask.shape, dtype=np.float32)
    own[y1:y2, x1:x2] = mask[y1:y2, x1:x2]
    return [own[region.slices]] * frames


def _patches(models: Models, row: Row, arrays: Arrays, frames: list[Pixels], segment: _Segment) -> list[Patch]:
    clip = "AnimateDiff" in row["node"]
    rule = SizeRule(row["guide_size"], row["max_size"], row["guide_size_for"])
    size = sampling_size((segment.region.width, segment.region.height), segment.bbox_size, rule)
    if size is None:
        raise ValueError("a segment was not to be sampled")
    blur, masked = row["noise_mask_feather"], row["noise_mask"] and row["mask_mode"]
    seed = row["seed"] if clip else crop_seed(row["seed"], segment.number)
    crops = [
        CropInput(cut(frame, segment.region), noise_mask(mask, blur, masked), (size.width, size.height), seed, position)
        for position, (frame, mask) in enumerate(zip(frames, segment.masks, strict=True))
    ]
    made = enhance(crops, _tools(models, row, arrays, clip), lanczos, row["cycle"], clip)
    return [
        Patch(from_bytes(to_bytes(pixels)), feather(mask, row["feather"]), segment.region)
        for pixels, mask in zip(made, segment.masks, strict=True)
    ]


def _tools(models: Models, row: Row, arrays: Arrays, clip: bool) -> DiffusionTools:
    painter = models.painter(torch.from_numpy(arrays["pos"]), torch.from_numpy(arrays["neg"]), row["cfg"])
    sampling = Sampling(
        row["sampler_name"],
        row["scheduler"],
        row["steps"],
        row["denoise"],
        "impact",
        differential=row["noise_mask_feather"] > 0,
    )
    frames = len(arrays["image"])
    return DiffusionTools(
        models.codec,
        (painter,),
        sampling,
        (lambda seeds: clip_streams(seeds[0], range(frames), frames)) if clip else crop_streams,
        lambda _: None,
    )


def _faults(what: str, ours: NDArray[Any], theirs: NDArray[Any]) -> list[str]:
    if ours.shape != theirs.shape:
        return [f"the {what} is {ours.shape} instead of {theirs.shape}"]
    levels = np.abs(ours.astype(np.float64) - theirs) * 255
    share = float(np.mean(levels > ROUNDING))
    if levels.max() <= LEVELS + ROUNDING and share <= SHARE:
        return []
    return [f"the {what} differs by up to {levels.max():.2f} levels, {100 * share:.2f} % of its values"]
