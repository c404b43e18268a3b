"""The two nodes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import widgets
from .api import Api, FarmError, check_address
from .pixels import batch, frames_of, masks_of, pixels_of, placeholder
from .segs import Segs, document, refined
from .widgets import NONE, OWN, Widget
from .work import run, watcher

CATEGORY = "detail farm"
OF_THE_JOB = ("vae", "refiner", "motion")
"""Choices that a job names at its top."""


def request(job_type: str, clip: str, segment: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """A job's document.

    Args:
        clip: URI of the frames.
        segment: where to paint.
        chosen: values of the node's widgets, by name.
    """
    values = dict(chosen)
    named = {name: values.pop(name) for name in OF_THE_JOB if values.get(name) not in (None, "", NONE, OWN)}
    for name in (*OF_THE_JOB, "farm"):
        values.pop(name, None)
    loras = [one.strip() for one in str(values.pop("loras", "")).split(",") if one.strip()]
    skip = values.pop("clip_skip", 0)
    return {
        "type": job_type,
        "name": "from ComfyUI",
        "input": {"uri": clip},
        "model": values.pop("model"),
        "priority": values.pop("priority", 50),
        "batch_size": values.pop("batch_size", 1),
        **named,
        "segments": [
            {
                **segment,
                "prompt": values.pop("positive"),
                "negative": values.pop("negative"),
                **({"loras": loras} if loras else {}),
                **({"clip_skip": skip} if skip else {}),
                **values,
            }
        ],
    }


class _OnFarm:
    """What both nodes have in common."""

    CATEGORY = CATEGORY
    FUNCTION = "detail"

    @classmethod
    def IS_CHANGED(cls, farm: str = "", model: str = "", vae: str = "", **_: object) -> str:
        """The content of what is drawn with, which a name may stand for anew."""
        found = []
        for kind, name in (("model", model), ("vae", vae)):
            try:
                found.append(Api(farm, patience_s=0.0, timeout_s=widgets.LOOK_S).models(kind).get(name, ""))
            except (FarmError, ValueError, KeyError, TypeError):
                found.append("")
        return " ".join(found)

    @classmethod
    def VALIDATE_INPUTS(
        cls,
        farm: str | None = None,
        model: str | None = None,
        vae: str | None = None,
        refiner: str | None = None,
        motion: str | None = None,
    ) -> bool | str:
        """Whether the job can be sent. Names of models are the farm's affair: the page's list may be an old one."""
        if farm is not None:
            try:
                check_address(farm)
            except FarmError as error:
                return str(error)
        if not all(name is None or name.strip() for name in (model, vae, refiner, motion)):
            return "Choose a model; `farm model list` shows those of the farm."
        return True


class MaskDetailerPipeFarm(_OnFarm):
    """MaskDetailerPipe on the farm: every frame of the batch by itself, with its own mask if there are as many."""

    RETURN_TYPES = ("IMAGE", "IMAGE", "IMAGE", "BASIC_PIPE", "BASIC_PIPE")
    RETURN_NAMES = ("image", "cropped_refined", "cropped_enhanced_alpha", "basic_pipe", "refiner_basic_pipe_opt")
    OUTPUT_IS_LIST = (False, True, True, False, False)
    DESCRIPTION = "Details what a mask marks, on the workers of a farm. Pipes are handed on and not used."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:
        """Inputs as the page shows them."""
        return {
            "required": {
                "image": ("IMAGE", {}),
                "mask": ("MASK", {}),
                **widgets.drawing(),
                **widgets.sampling(),
                "mask_mode": widgets.flag(True, "masked only", "whole"),
                "crop_factor": widgets.number(3.0, 1.0, 10.0, 0.1),
                "drop_size": widgets.integer(10, 1, widgets.MAX_RESOLUTION),
                "batch_size": widgets.integer(1, 1, 100),
                "cycle": widgets.integer(1, 1, 10),
            },
            "optional": {
                "basic_pipe": ("BASIC_PIPE", {}),
                "refiner_basic_pipe_opt": ("BASIC_PIPE", {}),
                "inpaint_model": widgets.flag(False, "enabled", "disabled"),
                "noise_mask_feather": widgets.integer(20, 0, 100),
                "bbox_fill": widgets.flag(False, "enabled", "disabled"),
                "contour_fill": widgets.flag(True, "enabled", "disabled"),
                **widgets.more_drawing(),
            },
        }

    def detail(
        self,
        image: Tensor,
        mask: Tensor,
        farm: str,
        basic_pipe: object = None,
        refiner_basic_pipe_opt: object = None,
        **chosen: Any,  # noqa: ANN401 - values of widgets
    ) -> tuple[Tensor, list[Tensor], list[Tensor], object, object]:
        """The detailed frames, variation after variation, and what was made of each crop.

        Args:
            image: `[B, H, W, C]`.
            mask: `[H, W]`, or `[B, H, W]`; white is repainted.
        Raises:
            FarmError: the farm refuses the job, or cannot do it.
        """
        pipes = basic_pipe, refiner_basic_pipe_opt
        if not bool((mask * 255 >= 1).any()):
            return image.repeat(int(chosen.get("batch_size", 1)), 1, 1, 1), [placeholder()], [placeholder()], *pipes
        api = Api(farm)
        segment = {"name": "mask", "mask": api.upload_pictures("mask", masks_of(mask))}
        wanted = request("mask", api.upload_pictures("frames", frames_of(image)), segment, chosen)
        folders = ("cropped_refined", "cropped_enhanced_alpha")
        job = run(api, {**wanted, "outputs": folders}, watcher())
        crops = [[batch([pixels_of(data)]) for _, data in api.folder(job, folder)] for folder in folders]
        return _frames(api, job), crops[0] or [placeholder()], crops[1] or [placeholder()], *pipes


class DetailerForEachPipeForAnimateDiffFarm(_OnFarm):
    """DetailerForEachPipeForAnimateDiff on the farm: a motion module sees the frames together."""

    RETURN_TYPES = ("IMAGE", "SEGS", "BASIC_PIPE", "IMAGE")
    RETURN_NAMES = ("image", "segs", "basic_pipe", "cnet_images")
    OUTPUT_IS_LIST = (False, False, False, True)
    DESCRIPTION = "Details SEGS over all frames, on the workers of a farm. A pipe is handed on and not used."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:
        """Inputs as the page shows them."""
        return {
            "required": {
                "image_frames": ("IMAGE", {}),
                "segs": ("SEGS", {}),
                **widgets.drawing(),
                **widgets.sampling(),
            },
            "optional": {
                "basic_pipe": ("BASIC_PIPE", {}),
                "noise_mask_feather": widgets.integer(0, 0, 100),
                "motion": widgets.models("motion", OWN),
                "context_length": widgets.integer(16, 1, 128, "Frames that the motion module sees at once."),
                "context_overlap": widgets.integer(4, 0, 127, "Frames that neighboring windows share."),
                **widgets.more_drawing(),
            },
        }

    def detail(
        self,
        image_frames: Tensor,
        segs: Segs,
        farm: str,
        basic_pipe: object = None,
        **chosen: Any,  # noqa: ANN401 - values of widgets
    ) -> tuple[Tensor, Segs, object, list[Tensor]]:
        """The detailed frames, and the SEGS with what was made of each crop in every frame.

        Args:
            image_frames: `[F, H, W, C]`.
            segs: as detectors and MASK to SEGS give them.
        Raises:
            FarmError: the farm refuses the job, or cannot do it.
        """
        lit = [seg for seg in segs[1] if bool(np.any(torch.as_tensor(seg.cropped_mask).numpy() > 0))]
        if not lit:
            return image_frames, segs, basic_pipe, []
        api = Api(farm)
        described = json.dumps(document(segs, len(image_frames))).encode()
        segment = {"name": "segs", "segs": api.upload("segs.json", described)}
        wanted = request("animatediff", api.upload_pictures("frames", frames_of(image_frames)), segment, chosen)
        job = run(api, {**wanted, "outputs": ("cropped_refined",)}, watcher())
        made = _frames(api, job)
        return made, refined(segs, api.folder(job, "cropped_refined"), made.numpy()), basic_pipe, []


def _frames(api: Api, job: str) -> Tensor:
    """All final frames, variation after variation."""
    found = sorted(api.frames(job), key=lambda frame: frame[:2])
    return batch([pixels_of(data) for _, _, data in found])


NODE_CLASS_MAPPINGS: dict[str, type] = {
    "MaskDetailerPipeFarm": MaskDetailerPipeFarm,
    "DetailerForEachPipeForAnimateDiffFarm": DetailerForEachPipeForAnimateDiffFarm,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "MaskDetailerPipeFarm": "MaskDetailerPipe (farm)",
    "DetailerForEachPipeForAnimateDiffFarm": "DetailerForEachPipeForAnimateDiff (farm)",
}
