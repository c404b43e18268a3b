"""Golden rows of whole nodes with real networks: crops, masks, models, patches, pasted frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from farm.adapters.pictures import lanczos
from farm.detail.blend import Patch, Pixels, compose, cut, feather, from_bytes, to_bytes
from farm.detail.box import Box
from farm.detail.enhance import CropInput, crop_seed, enhance, noise_mask
from farm.detail.resample import Mask
from farm.detail.segs import Seg, mask_to_segs
from farm.detail.sizes import SizeRule, sampling_size
from workers.gpu.detailer import DiffusionTools
from workers.gpu.noise import clip_streams, crop_streams
from workers.gpu.sampling import Sampling

if TYPE_CHECKING:
    from tests.golden.comfy import Models
    from tests.golden.comfy_rows import Arrays, Row

LEVELS, SHARE = 2, 0.02
"""Levels of 255 by which a value may differ, and the share of the values that may differ at all."""
ROUNDING = 1e-3
"""Levels that do not count as a difference."""
ENHANCED = "cropped_enhanced_"


@dataclass(frozen=True)
class _Node:
    """A row with its arrays and the networks."""

    models: Models
    row: Row
    arrays: Arrays

    @property
    def clip(self) -> bool:
        """Whether frames are sampled together."""
        return "AnimateDiff" in self.row["node"]

    @property
    def makes_segments(self) -> bool:
        """Whether it is given a mask, not segments; then it has variations too."""
        return bool(self.row["node"] == "MaskDetailerPipe")

    @property
    def masked(self) -> bool:
        """Whether the latent has a mask; each node says so by another parameter, or always has one."""
        return self.clip or bool(self.row.get("mask_mode" if self.makes_segments else "noise_mask", True))

    def segments(self) -> list[Seg]:
        """Those that the row lists, in order, with their masks for each frame."""
        boxes = [Box(*region) for region in self.arrays["crop_regions"].tolist()]
        bboxes: list[list[float]] = self.arrays["bboxes"].tolist()
        mask = self.arrays["mask"]
        if mask.ndim == 3 and not self.clip:
            mask = mask[0]
        if mask.ndim == 3:
            masks = [mask[:, box.y1 : box.y2, box.x1 : box.x2] for box in boxes]
        else:
            masks = [self._own(mask, box, bbox) for box, bbox in zip(boxes, bboxes, strict=True)]
        return [
            Seg((bbox[0], bbox[1], bbox[2], bbox[3]), box, one.astype(np.float32))
            for bbox, box, one in zip(bboxes, boxes, masks, strict=True)
        ]

    def found(self, mask: Mask) -> list[Seg]:
        """The segments that we make of the mask by the node's parameters."""
        fill, outline = self.row.get("bbox_fill", False), self.row.get("contour_fill", True)
        return mask_to_segs(mask, False, self.row["crop_factor"], fill, self.row["drop_size"], is_contour=outline)

    def _own(self, mask: Mask, box: Box, bbox: Sequence[float]) -> Mask:
        """A segment's mask: of the blob with its bbox, or all that lies in its bbox where no blob has it."""
        for seg in self.found(mask):
            if (list(seg.bbox), seg.crop_region) == (list(bbox), box):
                return seg.mask
        x1, y1, x2, y2 = (int(side) for side in bbox)
        own = np.zeros(mask.shape, dtype=np.float32)
        own[y1:y2, x1:x2] = mask[y1:y2, x1:x2]
        return own[box.slices]


def node_faults(models: Models, row: Row, arrays: Arrays) -> list[str]:
    """How far our frames are from the node's."""
    node = _Node(models, row, arrays)
    if faults := _other_segments(node):
        return faults
    made, enhanced = repainted(models, row, arrays)
    for name in sorted(name for name in arrays if name.startswith(ENHANCED)):
        if faults := _faults(f"patch {name}", enhanced[int(name.removeprefix(ENHANCED))], arrays[name]):
            return faults
    return _faults("result", made, arrays["output"])


def repainted(models: Models, row: Row, arrays: Arrays) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """Our frames, variation by variation, and the patches, in the order in which the original lists them."""
    node = _Node(models, row, arrays)
    original = [from_bytes(frame) for frame in arrays["image"]]
    made: list[Pixels] = []
    enhanced: list[NDArray[Any]] = []
    for variation in range(row.get("batch_size", 1) if node.makes_segments else 1):
        frames, patches = _repainted(node, original, variation)
        made += frames
        # By shape, the largest first.
        enhanced += sorted(patches, key=lambda patch: patch.shape, reverse=True)
    return np.stack(made), enhanced


def _other_segments(node: _Node) -> list[str]:
    """Where a node makes its own segments, ours must be the same."""
    if not node.makes_segments:
        return []
    ours = [[*seg.crop_region] for seg in node.found(np.squeeze(node.arrays["mask"]))]
    theirs = node.arrays["crop_regions"].tolist()
    return [] if ours == theirs else [f"the crop regions are {ours} instead of {theirs}"]


def _repainted(node: _Node, frames: list[Pixels], variation: int) -> tuple[list[Pixels], list[NDArray[Any]]]:
    """The frames with all segments repainted in order, and each segment's patches, one per frame."""
    made = []
    for number, seg in enumerate(node.segments()):
        if not seg.mask.any():
            continue
        patches = _patches(node, frames, seg, crop_seed(node.row["seed"], 0 if node.clip else number, variation))
        if patches is None:
            continue
        made.append(np.stack([patch.pixels for patch in patches]))
        frames = [compose(frame, [patch]) for frame, patch in zip(frames, patches, strict=True)]
    return frames, made


def _patches(node: _Node, frames: list[Pixels], seg: Seg, seed: int) -> list[Patch] | None:
    row, region = node.row, seg.crop_region
    always = node.clip or row.get("force_inpaint", True)
    rule = SizeRule(row["guide_size"], row["max_size"], row["guide_size_for"], always)
    size = sampling_size((region.width, region.height), seg.bbox_size, rule)
    if size is None:
        return None
    masks = [seg.frame_mask(position, len(frames)) for position in range(len(frames))]
    crops = [
        CropInput(
            cut(frame, region),
            noise_mask(mask, row["noise_mask_feather"], node.masked),
            (size.width, size.height),
            seed,
            position,
        )
        for position, (frame, mask) in enumerate(zip(frames, masks, strict=True))
    ]
    inpaint = not node.clip and row.get("inpaint_model", False)
    cycle = 1 if node.clip else row.get("cycle", 1)
    made = enhance(crops, _tools(node, len(frames)), lanczos, cycle, node.clip, inpaint)
    return [
        Patch(from_bytes(to_bytes(pixels)), feather(mask, row["feather"]), region)
        for pixels, mask in zip(made, masks, strict=True)
    ]


def _tools(node: _Node, frames: int) -> DiffusionTools:
    row, arrays = node.row, node.arrays
    painter = node.models.painter(torch.from_numpy(arrays["pos"]), torch.from_numpy(arrays["neg"]), row["cfg"])
    sampling = Sampling(
        row["sampler_name"],
        row["scheduler"],
        row["steps"],
        row["denoise"],
        row.get("route", "impact"),
        differential=row["noise_mask_feather"] > 0,
    )
    return DiffusionTools(
        node.models.codec,
        (painter,),
        sampling,
        (lambda seeds: clip_streams(seeds[0], range(frames), frames)) if node.clip else crop_streams,
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
