"""A batch's prompts as a model is told them."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
    told = [(_behind_each_other(model, batch, texts, clip_skip), share) for texts, share in batch.prompts]
    positive = told[0][0] if len(told) == 1 else mixed(told)
    negative = model.text.encoded(batch.detailer.negative, clip_skip, batch.embeddings)
    return Guidance(
        positive.hidden,
        negative.hidden,
        batch.detailer.cfg,
        positive_vector=_vector(model, positive, PLEASING),
        negative_vector=_vector(model, negative, DISPLEASING),
    )


def area_of(model: Model, batch: Batch, use: ConditioningUse, weight: Tensor) -> Area:
    """A further prompt of the batch, as the base model is told it. Raises as `guidance_of`."""
    told = model.text.encoded(use.prompt, batch.detailer.clip_skip, batch.embeddings)
    vector = _vector(model, told, DISPLEASING if use.negative else PLEASING)
    return Area(told.hidden, weight, use.negative, vector)


def _behind_each_other(model: Model, batch: Batch, texts: Sequence[str], clip_skip: int | None) -> Encoded:
    """Several texts as one; the first speaks for the whole."""
    found = [model.text.encoded(text, clip_skip, batch.embeddings) for text in texts]
    return Encoded(torch.cat([one.hidden for one in found], dim=1), found[0].pooled)


def mixed(told: Sequence[tuple[Encoded, float]]) -> Encoded:
    """The mean of what prompts tell, by weights whose sum is 1; shorter ones are repeated to a common length, which
    attention sees as the same."""
    tokens = math.lcm(*(one.hidden.shape[1] for one, _ in told))
    hidden = [one.hidden.repeat(1, tokens // one.hidden.shape[1], 1) * share for one, share in told]
    pooled = [one.pooled * share for one, share in told if one.pooled is not None]
    return Encoded(torch.stack(hidden).sum(dim=0), torch.stack(pooled).sum(dim=0) if pooled else None)


def _vector(model: Model, encoded: Encoded, score: float) -> Vector | None:
    if not model.wants_vector:
        return None
    if encoded.pooled is None:
        raise BadModel("its text encoder gives no summary of the text", "use one with `text_projection`")
    return Vector(encoded.pooled, torch.tensor([score], device=encoded.pooled.device))
