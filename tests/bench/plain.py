"""The same work by diffusers' own pipelines, one crop, or one clip, at a time: what people would do without a farm."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import diffusers
import torch
from PIL import Image

from tests.bench.random_models import TOKENS, Parts

PIPELINES: Any = diffusers
CFG = 8.0
SD_SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
MOTION_SCHEDULE = SD_SCHEDULE | {"beta_schedule": "linear", "clip_sample": False}


def plain_images(parts: Parts, side: int, steps: int, denoise: float) -> Callable[[], object]:
    """A call that repaints one picture with the img2img pipeline: as many UNet steps as the engine takes."""
    kind = parts.kind
    scheduler = PIPELINES.EulerDiscreteScheduler(**SD_SCHEDULE)
    vae = copy.deepcopy(parts.vae).to(parts.unet.dtype)
    empty = {"text_encoder": None, "tokenizer": None}
    if kind.pooled:
        more = {"text_encoder_2": None, "tokenizer_2": None, "add_watermarker": False}
        pipeline = PIPELINES.StableDiffusionXLImg2ImgPipeline(
            vae=vae, unet=parts.unet, scheduler=scheduler, **empty, **more
        )
    else:
        more = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipeline = PIPELINES.StableDiffusionImg2ImgPipeline(
            vae=vae, unet=parts.unet, scheduler=scheduler, **empty, **more
        )
    pipeline.set_progress_bar_config(disable=True)
    picture = Image.new("RGB", (side, side), (90, 120, 60))
    return lambda: pipeline(
        image=picture,
        strength=denoise,
        num_inference_steps=round(steps / denoise),
        guidance_scale=CFG,
        **_texts(parts),
    )


def plain_clip(parts: Parts, side: int, frames: int, steps: int, denoise: float) -> Callable[[], object]:
    """A call that repaints one clip with the video-to-video pipeline."""
    scheduler = PIPELINES.DDIMScheduler(**MOTION_SCHEDULE)
    pipeline = PIPELINES.AnimateDiffVideoToVideoPipeline(
        vae=copy.deepcopy(parts.vae).to(parts.unet.dtype),
        text_encoder=None,
        tokenizer=None,
        unet=parts.moving,
        motion_adapter=None,
        scheduler=scheduler,
    )
    pipeline.set_progress_bar_config(disable=True)
    video = [Image.new("RGB", (side, side), (90, 5 * frame, 60)) for frame in range(frames)]
    return lambda: pipeline(
        video=video,
        height=side,
        width=side,
        strength=denoise,
        num_inference_steps=round(steps / denoise),
        guidance_scale=CFG,
        **_texts(parts),
    )


def _texts(parts: Parts) -> dict[str, Any]:
    unet = parts.unet
    text = torch.randn((1, TOKENS, parts.kind.text_width), device=unet.device, dtype=unet.dtype)
    found = {"prompt_embeds": text, "negative_prompt_embeds": -text}
    if parts.kind.pooled:
        pooled = torch.zeros((1, parts.kind.pooled), device=unet.device, dtype=unet.dtype)
        found |= {"pooled_prompt_embeds": pooled, "negative_pooled_prompt_embeds": pooled}
    return found
