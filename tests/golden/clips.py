"""Golden cases of the nodes that repaint the frames of a clip together, and of SEGSPaste."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from farm.adapters.pictures import lanczos
from farm.detail.blend import Patch, Pixels, compose, cut, cut_composed, feather, from_bytes, to_bytes
from farm.detail.box import Box
from farm.detail.depends import NOTHING, Writes, waits, writes
from farm.detail.enhance import CropInput, crop_seed, enhance, noise_mask
from farm.detail.segs import Seg, segs_scale_match
from farm.detail.sizes import sampling_size
from tests.golden.cases import Array, Case, Outcome, Params, segs_of
from tests.golden.fakes import FakeTools
from tests.golden.nodes import ALPHA_KEPT, call_faults, size_rule
from tests.golden.pure import floats, placed

EMPTY_NOT_SAMPLED = "SPEC.md, decisions: all-zero mask is sampled in AnimateDiff (7.1): not sampled, same pixels"
ALL_FRAMES_COMBINED = "SPEC.md, decisions: the first mask frame is lost when counts differ (7.3): all are combined"
OWN_IMAGE = "SPEC.md, decisions: a SEG that carries F frames is sampled F*F times (7.2): frame k uses image k"


@dataclass
class Clip:
    """A clip's segments and, as far as they have been made, their patches per frame."""

    frames: Pixels
    segs: list[Seg]
    images: list[Array | None]
    """Pictures that a segment carries, used instead of the frames."""
    params: Params
    tools: FakeTools
    written: list[Writes] = field(default_factory=list)
    patches: list[list[Patch]] = field(default_factory=list)
    """Per segment, one patch per frame; empty for a segment that is not sampled."""

    def waiting(self, number: int) -> list[int]:
        """The earlier segments that segment `number` waits for; none if it carries its own pictures."""
        if self.images[number] is not None:
            return []
        region = self.segs[number].crop_region
        return [i for i in range(number) if self.patches[i] and waits(self.written[i], region)]


def detailer_for_clip(case: Case) -> Outcome:
    """animatediff_nodes.DetailerForEachPipeForAnimateDiff.doit."""
    clip = _clip(case)
    if clip.frames.shape[-1] == 4:
        return Outcome(decisions=[ALPHA_KEPT], skipped=True)
    for number in range(len(clip.segs)):
        _sample(clip, number, clip.waiting(number))
    count = len(clip.frames)
    final = [compose(clip.frames[k], [made[k] for made in clip.patches if made]) for k in range(count)]
    outcome = _outcome(case, clip, "out_segimage_", dependent=True)
    outcome.arrays["out_image"] = np.stack(final)
    return outcome


def segs_detailer_for_clip(case: Case) -> Outcome:
    """animatediff_nodes.SEGSDetailerForAnimateDiff.doit: each segment on the frames as they came, no pastes."""
    clip = _clip(case)
    for number in range(len(clip.segs)):
        _sample(clip, number, [])
    outcome = _outcome(case, clip, "out_image_", dependent=False)
    outcome.arrays["out_cnet_00"] = np.zeros((1, 64, 64, 3), dtype=np.float32)
    return outcome


def segs_paste(case: Case) -> Outcome:
    """segs_nodes.SEGSPaste.doit."""
    params, frames = case.params, floats(case, "in_image")
    height, width = params["header"]
    opacity = np.float32(params["alpha"] / 255)
    target = frames.shape[1:3]
    pictures = floats(case, "in_ref") if "in_ref_u8" in case.arrays else None
    pasted = []
    for k, frame in enumerate(frames):
        patches = []
        for number, entry in enumerate(params["segs"]):
            region = Box(*entry["crop_region"])
            seg = Seg((*region,), region, case.arrays[f"in_mask_{number}"])
            (seg,) = segs_scale_match([seg], (height, width), target)
            box = seg.crop_region
            if pictures is not None:
                source = cut(pictures[k], box)
            elif f"in_src_{number}" in case.arrays:
                source = _fitted(case.arrays[f"in_src_{number}"][k], box, (height, width) != target)
            else:
                continue
            mask = feather(seg.frame_mask(k, len(frames)), params["feather"]) * opacity
            patches.append(placed(source, mask, box.x1, box.y1))
        pasted.append(compose(frame, patches))
    return Outcome({"out_image": np.stack(pasted)})


def _clip(case: Case) -> Clip:
    frames = floats(case, "in_frames")
    segs, header = segs_of(case)
    target = frames.shape[1:3]
    segs = segs_scale_match(segs, header, target)
    images: list[Array | None] = []
    for number, seg in enumerate(segs):
        carried = case.arrays.get(f"in_seg_image_{number:02}")
        if carried is not None:
            carried = np.stack([_fitted(picture, seg.crop_region, header != target) for picture in carried])
        images.append(carried)
    return Clip(frames, segs, images, case.params, FakeTools(case.params["denoise"]))


def _fitted(picture: Array, box: Box, scaled: bool) -> Array:
    return lanczos(picture, box.width, box.height) if scaled else picture


def _sample(clip: Clip, number: int, waiting: list[int]) -> None:
    """Repaint segment `number` in all frames, each with the patches of the segments that it waits for."""
    seg, params, count = clip.segs[number], clip.params, len(clip.frames)
    box = seg.crop_region
    masks = [seg.frame_mask(k, count) for k in range(count)]
    pasted = [feather(mask, params.get("feather", 0)) for mask in masks]
    clip.written.append(writes(np.stack(pasted), box) if seg.mask.any() else NOTHING)
    clip.patches.append([])
    if not seg.mask.any():
        return
    size = sampling_size((box.width, box.height), seg.bbox_size, size_rule(params, True))
    if size is None:
        raise AssertionError("a crop that is always repainted has a size")
    crops = []
    for k in range(count):
        pixels = _pixels(clip, number, k, waiting)
        latent_mask = noise_mask(masks[k], params["noise_mask_feather"])
        crops.append(CropInput(pixels, latent_mask, (size.width, size.height), crop_seed(params["seed"]), k))
    enhanced = enhance(crops, clip.tools, lanczos, animatediff=True)
    clip.patches[number] = [
        Patch(from_bytes(to_bytes(pixels)), mask, box) for pixels, mask in zip(enhanced, pasted, strict=True)
    ]


def _pixels(clip: Clip, number: int, frame: int, waiting: list[int]) -> Pixels:
    carried = clip.images[number]
    if carried is not None:
        return np.asarray(carried[min(frame, len(carried) - 1)])
    under = [clip.patches[i][frame] for i in waiting]
    return cut_composed(clip.frames[frame], under, clip.segs[number].crop_region)


def _outcome(case: Case, clip: Clip, prefix: str, dependent: bool) -> Outcome:
    """The segments' pictures and calls, without what our decisions make different.

    Where a decision changes a segment's pixels, the segments that read them and the final frames inside of its region
    are not compared either; all else is.
    """
    outcome = Outcome()
    calls = list(case.document.get("calls", []))
    other: set[int] = set()
    unsampled: set[int] = set()
    for number, seg in enumerate(clip.segs):
        name = f"{prefix}{number:02}"
        if not clip.patches[number]:
            unsampled.add(number)
            outcome.decisions.append(EMPTY_NOT_SAMPLED)
            outcome.ignore[name] = None
            continue
        outcome.arrays[name] = np.stack([patch.pixels for patch in clip.patches[number]])
        decision = _decision(seg, clip.images[number], len(clip.frames))
        if decision:
            outcome.decisions.append(decision)
        if decision or (dependent and other & set(clip.waiting(number))):
            other.add(number)
            outcome.ignore[name] = None
            if decision == OWN_IMAGE and calls:
                made = clip.tools.calls[_call(number, unsampled)]
                calls[number] = {**calls[number], "latent_shape": made["latent_shape"]}
    if other and dependent:
        outside = np.zeros(clip.frames.shape[1:3], dtype=np.bool_)
        for number in other:
            outside[clip.segs[number].crop_region.slices] = True
        outcome.ignore["out_image"] = outside
    outcome.skipped = bool(other)
    kept = [call for number, call in enumerate(calls) if number not in unsampled]
    outcome.faults = call_faults(kept, clip.tools.calls)
    return outcome


def _call(number: int, unsampled: set[int]) -> int:
    return number - sum(earlier < number for earlier in unsampled)


def _decision(seg: Seg, carried: Array | None, frames: int) -> str:
    if seg.mask.ndim == 3 and 1 < len(seg.mask) != frames:
        return ALL_FRAMES_COMBINED
    if carried is not None and len(carried) > 1:
        return OWN_IMAGE
    return ""
