"""Golden cases of the small functions: masks to segments, scaling, blurring, pasting."""

from __future__ import annotations

import numpy as np

from farm.adapters.pictures import lanczos
from farm.detail.blend import Patch, Pixels, feather, from_bytes, paste
from farm.detail.box import Box
from farm.detail.clip_segs import batch_mask_to_segs
from farm.detail.resample import Mask, resize_mask
from farm.detail.segs import mask_to_segs, segs_scale_match
from tests.golden.cases import FLOAT, Array, Case, Outcome, segs_of, segs_outcome


def masks_to_segments(case: Case) -> Outcome:
    """core.mask_to_segs and core.batch_mask_to_segs."""
    params, mask = case.params, case.arrays["in_mask"]
    several = case.document["function"].endswith("batch_mask_to_segs")
    crop_min_size = params.get("crop_min_size")
    shared = (mask, params["combined"], params["crop_factor"], params["bbox_fill"], params["drop_size"])
    if several:
        segs = batch_mask_to_segs(*shared, crop_min_size=crop_min_size)
    else:
        segs = mask_to_segs(*shared, crop_min_size=crop_min_size, is_contour=params.get("is_contour", True))
    return segs_outcome(segs, (int(mask.shape[-2]), int(mask.shape[-1])))


def scale_match(case: Case) -> Outcome:
    """core.segs_scale_match."""
    segs, header = segs_of(case, "in_mask_")
    height, width = case.params["target"][:2]
    matched = segs_scale_match(segs, header, (height, width))
    outcome = segs_outcome(matched, header if 0 in header else (height, width))
    if any(seg.mask.ndim == 3 for seg in segs):
        # PyTorch scales stacks of masks as channels; of three of them it rounds differently.
        outcome.tolerance = FLOAT
    return outcome


def blur(case: Case) -> Outcome:
    """utils.tensor_gaussian_blur_mask."""
    blurred = feather(_planes(case.arrays["in_mask"]), case.params["kernel_size"])
    return Outcome({"out_blurred": blurred[..., None]})


def paste_once(case: Case) -> Outcome:
    """utils.tensor_paste: in one batch, every picture with its own source and mask."""
    frames, sources, masks = floats(case, "in_dest"), case.arrays["in_src"], _planes(case.arrays["in_mask"])
    x, y = case.params["left_top"]
    pasted = []
    for number, frame in enumerate(frames):
        source, mask = sources[min(number, len(sources) - 1)], masks[min(number, len(masks) - 1)]
        pasted.append(paste(frame, placed(source, mask, x, y)))
    return Outcome({"out_dest": np.stack(pasted)})


def placed(source: Pixels, mask: Mask, x: int, y: int) -> Patch:
    """`source` at column `x` and row `y`; a mask of another size is scaled to it."""
    height, width = source.shape[:2]
    return Patch(source, resize_mask(mask, width, height), Box(x, y, x + width, y + height))


def resize(case: Case) -> Outcome:
    """utils.tensor_resize: pictures by Lanczos through 8 bits, what has fewer than three channels bilinearly."""
    images, width, height = case.arrays["in_image"], case.params["w"], case.params["h"]
    if images.shape[-1] >= 3:
        return Outcome({"out_image": np.stack([lanczos(image, width, height) for image in images])})
    planes = [resize_mask(np.moveaxis(image, -1, 0), width, height) for image in images]
    return Outcome({"out_image": np.moveaxis(np.stack(planes), 1, -1)})


def floats(case: Case, name: str) -> Pixels:
    """The pictures `name` of a case as float32 in 0..1, whether they are stored so or as bytes."""
    if f"{name}_u8" in case.arrays:
        return from_bytes(case.arrays[f"{name}_u8"])
    return case.arrays[name].astype(np.float32)


def _planes(mask: Array) -> Array:
    """`[h, w]`, `[B, h, w]` or `[B, h, w, 1]` as `[B, h, w]`."""
    if mask.ndim == 4:
        return mask[..., 0] if mask.shape[-1] == 1 else mask[:, 0]
    return mask[None] if mask.ndim == 2 else mask
