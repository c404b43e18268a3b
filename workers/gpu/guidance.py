"""A batch's prompts as a model is told them."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.gpu.batch import Batch, ConditioningUse
from workers.gpu.conditioning import Encoded
from workers.gpu.denoiser import Area, Guidance, Vector
from workers.gpu.faults import BadModel
from workers.gpu.models import Model

PLEASING, DISPLEASING = 6.0, 2.5
"""Scores from 1 to 10 that SDXL's refiner is told for the prompt and for the negative prompt, as by ComfyUI."""


def guidance_of(model: Model, batch: Batch, clip_skip: int | None) -> Guidance:
    """What the model is told by a batch's prompts. Raises BadModel, NoSuchLayer, TooDeep."""
    positives = [model.text.encoded(text, clip_skip, batch.embeddings) for text in batch.prompt]
    negative = model.text.encoded(batch.detailer.negative, clip_skip, batch.embeddings)
    return Guidance(
        torch.cat([one.hidden for one in positives], dim=1),
        negative.hidden,
        batch.detailer.cfg,
        # Of texts that are laid one behind the other the first speaks for the whole.
        positive_vector=_vector(model, positives[0], PLEASING),
        negative_vector=_vector(model, negative, DISPLEASING),
    )


def area_of(model: Model, batch: Batch, use: ConditioningUse, weight: Tensor) -> Area:
    """A further prompt of the batch, as the base model is told it. Raises as `guidance_of`."""
    told = model.text.encoded(use.prompt, batch.detailer.clip_skip, batch.embeddings)
    vector = _vector(model, told, DISPLEASING if use.negative else PLEASING)
    return Area(told.hidden, weight, use.negative, vector)


def _vector(model: Model, encoded: Encoded, score: float) -> Vector | None:
    if not model.wants_vector:
        return None
    if encoded.pooled is None:
        raise BadModel("its text encoder gives no summary of the text", "use one with `text_projection`")
    return Vector(encoded.pooled, torch.tensor([score], device=encoded.pooled.device))
