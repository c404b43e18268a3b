"""The content key of a detail task: all that determines its patches, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from farm.domain import keys
from farm.domain.detailer import Detailer, JobType
from farm.domain.hooks import key_part
from farm.domain.job import Control, Job, Source
from farm.domain.plan import Crop
from farm.domain.stack import stack_in_key

NOISE_BLOCK = 128
"""Absolute frames whose noise is drawn together in `animatediff` jobs."""
NOT_IN_KEY = frozenset(
    {"guide_size", "guide_size_for", "max_size", "max_size_hard", "size_multiple", "seed", "seed_mode", "feather"}
    | {"crop_factor", "drop_size", "bbox_fill", "contour_fill", "wildcard", "loras", "follow", "keyframes"}
)
"""Parameters that reach a patch only by its region, size, seed, prompt, mask or models, which are in the key."""
ALWAYS_IN_KEY = frozenset(
    {"prompt", "negative", "mask_mode", "steps", "cfg", "sampler_name", "scheduler", "denoise", "noise_mask_feather"}
    | {"cycle", "refiner_ratio", "inpaint_model", "noise", "sampling_route"}
    | {"context_length", "context_overlap", "context_fuse"}
)
"""Parameters of the first version. One that came later is in the key only where it is not at its default, so that what
was rendered before it came need not be rendered again. Never add to this."""


def detail_key(
    job: Job,
    source: Source,
    crops: Sequence[Crop],
    below: Sequence[object],
    frames: Mapping[int, str],
    masks: Sequence[str],
    after: str = "",
) -> str:
    """The key of a batch.

    Args:
        below: for each crop, what is pasted before it is cut.
        frames: position -> digest.   masks: index -> digest.
        after: key of the task whose hooks' state is taken up, in jobs that run in sequence.
    """
    moving = job.type is JobType.ANIMATEDIFF
    parts: dict[str, Any] = {
        "engine": job.engine,
        "type": job.type.value,
        "model": job.model.hash,
        "refiner": job.refiner.hash if job.refiner else None,
        "detailer": detailer_part(source.detailer),
        "clip": noise_rows(job.input.frames, crops[-1].frame) if moving else None,
        "crops": [
            {
                "frame": frames[crop.frame],
                "at": crop.frame if moving else None,
                "mask": masks[crop.mask],
                "region": crop.region,
                "size": crop.size,
                "seed": crop.seed,
                "under": under,
                **({"prompt": crop.prompt} if crop.prompt else {}),
                **({"toward": crop.toward, "share": crop.share} if crop.share else {}),
                **({"pictures": crop.pictures} if crop.pictures else {}),
            }
            for crop, under in zip(crops, below, strict=True)
        ],
    }
    later = {
        "after": after,
        "controls": [_control_part(control) for control in source.controls],
        "image_prompts": [
            one.model_dump(mode="json", exclude={"model", "image"}) | {"model": one.model.hash}
            for one in source.image_prompts
        ],
        "conditionings": [one.model_dump(mode="json", exclude={"mask"}) for one in source.conditionings],
        "motion": _motion_part(job),
        **stack_in_key(job, source),
    }
    return keys.content_key("detail", parts | {name: part for name, part in later.items() if part})


def _motion_part(job: Job) -> list[object]:
    """The motion module and its LoRAs, where they are not the model's own."""
    loras = [(lora.model.hash, lora.strength) for lora in job.motion_loras]
    return [job.motion.hash if job.motion else None, loras] if job.motion or loras else []


def _control_part(control: Control) -> dict[str, Any]:
    """What of a ControlNet decides pixels, besides the pictures that crops name."""
    values = control.model_dump(mode="json", exclude={"model", "image"})
    return values | {"model": control.model.hash, "pictures": control.image is not None}


def detailer_part(detailer: Detailer) -> dict[str, Any]:
    """The parameters that decide pixels by themselves."""
    values = detailer.model_dump(mode="json", exclude=set(NOT_IN_KEY) | {"hooks"})
    fields = Detailer.model_fields
    part = {name: value for name, value in values.items() if name in ALWAYS_IN_KEY or value != fields[name].default}
    hooks = key_part(detailer.hooks)
    return part | ({"hooks": hooks} if hooks else {})


def noise_rows(clip_frames: int, last: int) -> int:
    """Rows of clip-wide noise up to the block of frame `last`: what the clip's length has to do with a patch."""
    return min(clip_frames, (last // NOISE_BLOCK + 1) * NOISE_BLOCK)
