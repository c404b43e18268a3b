"""Golden cases of the nodes that repaint a single picture: DetailerForEach and MaskDetailerPipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from farm.adapters.pictures import lanczos
from farm.detail.blend import Patch, Pixels, compose, cut_composed, feather, from_bytes, to_bytes
from farm.detail.box import Box
from farm.detail.depends import NOTHING, dependences, writes
from farm.detail.enhance import CropInput, crop_seed, enhance, noise_mask
from farm.detail.resample import Mask
from farm.detail.segs import Seg, mask_to_segs, segs_scale_match
from farm.detail.sizes import SamplingSize, SizeRule, sampling_size
from tests.golden.cases import Array, Case, Outcome, Params, numbered, segs_of
from tests.golden.fakes import FakeTools
from tests.golden.pure import floats

AITEMPLATE_MAX_SIZE = 4096

ONE_CALL_PER_FRAME = "SPEC.md, decisions: image batches (5, 9): every frame is one call with its own mask"
ALPHA_KEPT = "SPEC.md, decisions: RGBA frames (3.5): alpha is carried through"


@dataclass
class Repainted:
    """What one picture gave, in processing order."""

    image: Pixels
    regions: list[Box] = field(default_factory=list)
    before: list[Pixels] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)


def size_rule(params: Params, force_inpaint: bool) -> SizeRule:
    """The size parameters of a node, under either of its spellings."""
    limit = min(AITEMPLATE_MAX_SIZE, params["max_size"]) if params.get("aitemplate") else params["max_size"]
    guided = params["guide_size_for_bbox"] if "guide_size_for_bbox" in params else params["guide_size_for"]
    return SizeRule(params["guide_size"], limit, guided, force_inpaint)


def do_detail(case: Case) -> Outcome:
    """impact_pack.DetailerForEach.do_detail."""
    frames = floats(case, "in_image")
    if refused := _other_by_decision(frames):
        return refused
    segs, header = segs_of(case)
    tools = FakeTools(case.params["denoise"])
    params = case.params
    segs = segs_scale_match(segs, header, frames.shape[1:3])
    result = repaint(frames[0], segs, params, tools, 0)
    outcome = Outcome({"out_image": result.image[None]})
    outcome.arrays |= numbered("out_cropped_", _by_shape(result.before))
    outcome.arrays |= numbered("out_enhanced_", _by_shape([patch.pixels for patch in result.patches]))
    outcome.arrays |= numbered("out_alpha_", _by_shape([_with_alpha(patch) for patch in result.patches]))
    outcome.facts = {"result_regions": [list(region) for region in result.regions], "n_enhanced": len(result.patches)}
    outcome.faults = call_faults(case.document["calls"], tools.calls)
    return outcome


def mask_detailer(case: Case) -> Outcome:
    """impact_pack.MaskDetailerPipe.doit."""
    params, frames = case.params, floats(case, "in_image")
    if refused := _other_by_decision(frames):
        return refused
    mask = _squeezed(case.arrays["in_mask"]) if "in_mask" in case.arrays else np.zeros((1, 1), dtype=np.float32)
    tools = FakeTools(params["denoise"])
    fill, outline = params.get("bbox_fill", False), params.get("contour_fill", True)
    segs = mask_to_segs(mask, False, params["crop_factor"], fill, params["drop_size"], is_contour=outline)
    segs = segs_scale_match(segs, (int(mask.shape[-2]), int(mask.shape[-1])), frames.shape[1:3])
    images: list[Pixels] = []
    refined: list[Pixels] = []
    alpha: list[Array] = []
    for variation in range(params["batch_size"]):
        result = repaint(frames[0], segs, params, tools, variation)
        images.append(result.image)
        refined += _by_shape([patch.pixels for patch in result.patches])
        alpha += _by_shape([_with_alpha(patch) for patch in result.patches])
    placeholder = [np.zeros((1, 64, 64, 3), dtype=np.float32)]
    outcome = Outcome({"out_image": np.stack(images)})
    outcome.arrays |= numbered("out_cropped_", refined or placeholder)
    outcome.arrays |= numbered("out_alpha_", alpha or placeholder)
    outcome.faults = call_faults(case.document["calls"], tools.calls)
    return outcome


def repaint(frame: Pixels, segs: list[Seg], params: Params, tools: FakeTools, variation: int) -> Repainted:
    """Every segment on the frame with the patches that it waits for; then all patches on the frame, in order."""
    rule = size_rule(params, params.get("force_inpaint", True))
    masks = [seg.frame_mask(0, 1) for seg in segs]
    sizes = [_size(seg, mask, rule) for seg, mask in zip(segs, masks, strict=True)]
    pasted = [feather(mask, params["feather"]) for mask in masks]
    regions = [seg.crop_region for seg in segs]
    written = [writes(m, box) if size else NOTHING for m, box, size in zip(pasted, regions, sizes, strict=True)]
    waiting = dependences(regions, written)
    result = Repainted(frame)
    patches: dict[int, Patch] = {}
    for number, seg in enumerate(segs):
        if not masks[number].any():
            continue
        pixels = cut_composed(frame, [patches[i] for i in waiting[number]], seg.crop_region)
        result.regions.append(seg.crop_region)
        result.before.append(pixels[None])
        size = sizes[number]
        if size is None:
            continue
        seed = crop_seed(params["seed"], number, variation)
        latent_mask = noise_mask(masks[number], params["noise_mask_feather"], _mask_mode(params))
        crop = CropInput(pixels, latent_mask, (size.width, size.height), seed, 0)
        enhanced = enhance([crop], tools, lanczos, params.get("cycle", 1), inpaint_model=bool(params["inpaint_model"]))
        patches[number] = Patch(from_bytes(to_bytes(enhanced[0])), pasted[number], seg.crop_region)
    result.patches = list(patches.values())
    result.image = compose(frame, result.patches)
    return result


def call_faults(expected: list[Any], made: list[dict[str, Any]]) -> list[str]:
    """How the calls of the sampler differ in seed, latent shape or mask shape; a mask's batch may be 1 or one each."""
    if len(expected) != len(made):
        return [f"{len(made)} calls of the sampler instead of {len(expected)}"]
    faults = []
    for number, (theirs, ours) in enumerate(zip(expected, made, strict=True)):
        shape = theirs["noise_mask_shape"]
        wanted = {
            "seed": theirs["seed"],
            "latent_shape": theirs["latent_shape"],
            "mask_size": shape[-2:] if shape else None,
        }
        if ours != wanted:
            faults.append(f"call {number} is {ours} instead of {wanted}")
    return faults


def _other_by_decision(frames: Pixels) -> Outcome | None:
    if len(frames) > 1:
        return Outcome(decisions=[ONE_CALL_PER_FRAME], skipped=True)
    if frames.shape[-1] == 4:
        return Outcome(decisions=[ALPHA_KEPT], skipped=True)
    return None


def _size(seg: Seg, mask: Mask, rule: SizeRule) -> SamplingSize | None:
    if not mask.any():
        return None
    return sampling_size((seg.crop_region.width, seg.crop_region.height), seg.bbox_size, rule)


def _mask_mode(params: Params) -> bool:
    return bool(params["noise_mask"] if "noise_mask" in params else params["mask_mode"])


def _with_alpha(patch: Patch) -> Array:
    return np.concatenate([patch.pixels, patch.mask[..., None]], axis=-1)


def _by_shape(pictures: list[Array]) -> list[Array]:
    """As the original lists them: by shape, descending, otherwise in order; each as a batch of one."""
    batches = [picture if picture.ndim == 4 else picture[None] for picture in pictures]
    return sorted(batches, key=lambda picture: picture.shape, reverse=True)


def _squeezed(mask: Array) -> Array:
    while mask.ndim > 2 and mask.shape[0] == 1:
        mask = mask[0]
    return mask
