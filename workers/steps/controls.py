"""What steers a batch besides its prompt: pictures for ControlNets and IP-Adapters (SPEC 11), prompts with masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from farm.adapters.pictures import encode_png, lanczos
from farm.adapters.plugins import open_preprocessor
from farm.detail.blend import Pixels, cut, from_bytes, to_bytes
from farm.detail.box import Box, make_crop_region
from farm.detail.enhance import CropInput, conditioning_mask, scale_up
from farm.detail.resample import Mask
from farm.domain.detailer import JobType
from farm.domain.job import Job, Source
from farm.domain.plan import DetailTask
from workers.context import Tools
from workers.gpu.batch import Batch, ConditioningUse, ControlUse, ImagePromptUse

U8 = NDArray[np.uint8]


def control_uses(tools: Tools, source: Source) -> tuple[ControlUse, ...]:
    """The ControlNets of a source, in the order in which they add up."""
    return tuple(
        ControlUse(tools.model(one.model.hash), one.strength, one.start_percent, one.end_percent)
        for one in source.controls
    )


def image_prompt_uses(tools: Tools, source: Source) -> tuple[ImagePromptUse, ...]:
    """The IP-Adapters of a source."""
    return tuple(
        ImagePromptUse(tools.model(one.model.hash), one.weight, one.start_percent, one.end_percent)
        for one in source.image_prompts
    )


def conditioning_uses(source: Source) -> tuple[ConditioningUse, ...]:
    """The further prompts of a source."""
    return tuple(ConditioningUse(one.prompt, one.strength, one.negative) for one in source.conditionings)


def steered(
    tools: Tools, job: Job, source: Source, detail: DetailTask, crops: Sequence[CropInput]
) -> tuple[CropInput, ...]:
    """The crops with what their ControlNets and IP-Adapters are shown and where further prompts count."""
    shown = _control_pictures(tools, job, source, detail, crops)
    references = _references(tools, job, source, detail)
    masks = _conditioning_masks(tools, job, source, detail)
    return tuple(
        replace(crop, controls=pictures, references=seen, conditionings=where)
        for crop, pictures, seen, where in zip(crops, shown, references, masks, strict=True)
    )


def _control_pictures(
    tools: Tools, job: Job, source: Source, detail: DetailTask, crops: Sequence[CropInput]
) -> list[tuple[Pixels, ...]]:
    """For each crop what each ControlNet is shown, `[h, w, 3]` in 0..1.

    Pictures that the user gave are scaled to the clip and cut at the crop region: they stay at that scale. A
    preprocessor is given the crop at its sampling size, in `animatediff` jobs at its own.
    """
    if not source.controls:
        return [() for _ in crops]
    images = sum(control.image is not None for control in source.controls)
    given = _given(tools, job, [digest for crop in detail.crops for digest in crop.pictures[:images]])
    made: list[list[Pixels]] = [[] for _ in crops]
    place = 0
    for control in source.controls:
        if control.image is not None:
            for shown, crop in zip(made, detail.crops, strict=True):
                shown.append(cut(given[crop.pictures[place]], Box(*crop.region)))
            place += 1
            continue
        preprocess = open_preprocessor(control.preprocessor)
        for shown, crop_input in zip(made, crops, strict=True):
            moving = job.type is JobType.ANIMATEDIFF
            pixels = crop_input.pixels if moving else scale_up(crop_input, lanczos)
            shown.append(np.asarray(preprocess(pixels, crop_input.noise_mask), dtype=np.float32))
    return [tuple(shown) for shown in made]


def control_members(batch: Batch) -> dict[str, bytes]:
    """The pictures as they are stored beside the patches."""
    return {
        control_member(crop, number): encode_png(to_bytes(picture))
        for crop, crop_input in enumerate(batch.crops)
        for number, picture in enumerate(crop_input.controls)
    }


def stored_controls(members: Mapping[str, bytes], crop: int) -> list[bytes]:
    """The pictures of a crop, as PNG."""
    return [members[name] for number in range(len(members)) if (name := control_member(crop, number)) in members]


def control_member(crop: int, number: int) -> str:
    """Name of what a crop's ControlNet was shown."""
    return f"{crop:04d}.cnet{number}.png"


def _references(tools: Tools, job: Job, source: Source, detail: DetailTask) -> list[tuple[Pixels, ...]]:
    """For each crop what each IP-Adapter is shown: the surroundings of its crop region, or all."""
    first = sum(control.image is not None for control in source.controls)
    places = range(first, first + len(source.image_prompts))
    seen = tools.pictures.read_all(dict.fromkeys(crop.pictures[place] for crop in detail.crops for place in places))
    size = job.input.width, job.input.height
    made: list[list[Pixels]] = [[] for _ in detail.crops]
    for place, prompt in zip(places, source.image_prompts, strict=True):
        for shown, crop in zip(made, detail.crops, strict=True):
            picture = seen[crop.pictures[place]]
            if prompt.context_crop_factor is None:
                shown.append(from_bytes(picture)[..., :3])
            else:
                around = make_crop_region(*size, crop.region, prompt.context_crop_factor)
                shown.append(cut(_fitted(picture, size), around))
    return [tuple(shown) for shown in made]


def _conditioning_masks(tools: Tools, job: Job, source: Source, detail: DetailTask) -> list[tuple[Mask, ...]]:
    """For each crop where each further prompt counts."""
    count = len(source.conditionings)
    wanted = [crop.pictures[len(crop.pictures) - count :] for crop in detail.crops]
    found = tools.pictures.read_all(dict.fromkeys(digest for digests in wanted for digest in digests))
    size = job.input.height, job.input.width
    return [
        tuple(conditioning_mask(from_bytes(found[digest])[..., 0], Box(*crop.region), size) for digest in digests)
        for crop, digests in zip(detail.crops, wanted, strict=True)
    ]


def _given(tools: Tools, job: Job, digests: Sequence[str]) -> dict[str, Pixels]:
    """The user's pictures at the clip's size, by digest."""
    size = job.input.width, job.input.height
    return {digest: _fitted(pixels, size) for digest, pixels in tools.pictures.read_all(dict.fromkeys(digests)).items()}


def _fitted(pixels: U8, size: tuple[int, int]) -> Pixels:
    picture = from_bytes(pixels)[..., :3]
    return picture if (picture.shape[1], picture.shape[0]) == size else lanczos(picture, *size)
