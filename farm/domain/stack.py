"""What a job lays over its model: resolved to content at submit, and refused there where it cannot fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from farm.domain.job import Job, Source
from farm.domain.keyframes import prompts
from farm.domain.model import FAMILY_NAMES, KIND_NAMES, WIDTHS, LoraRef, LoraUse, ModelKind, ModelRef
from farm.domain.prompts import embedding_names, reads_differently, without_suffix
from farm.errors import NotFound, Rejected


class FindModel(Protocol):
    """Where models are looked up."""

    def __call__(self, name: str, kind: ModelKind | None = None, /) -> ModelRef:
        """What the farm has under a name or a hash. Raises NotFound with what there is; Rejected: of another kind."""


class DoesNotFit(Rejected):
    """What is laid over a model was made for another kind of model."""

    def __init__(self, over: ModelRef, model: ModelRef) -> None:
        what = KIND_NAMES[over.kind].split(" ", 1)[1]
        super().__init__(
            f"The {what} {over.name!r} was made for {_made_for(over)}; the model {model.name!r} is {_made_for(model)}. "
            f"Choose one that was made for the model, or another model."
        )


class OtherLatents(Rejected):
    """Two models whose latents have different numbers of channels."""

    def __init__(self, use: str, other: ModelRef, model: ModelRef) -> None:
        super().__init__(
            f"The {use} {other.name!r} has latents of {other.latent_channels} channels; those of the model "
            f"{model.name!r} have {model.latent_channels}. Choose a {use} of the model's kind."
        )


def second_model(use: str, name: str | None, kind: ModelKind, model: ModelRef, find: FindModel) -> ModelRef | None:
    """The refiner or the VAE of a job, whose latents must be the model's. Raises NotFound, OtherLatents."""
    if not name:
        return None
    other = find(name, kind)
    if 0 < other.latent_channels != model.latent_channels > 0:
        raise OtherLatents(use, other, model)
    return other


def texts_of(source: Source) -> tuple[str, ...]:
    """Everything that a source may have encoded; a wildcard's choices as words, whichever is taken."""
    detailer = source.detailer
    wildcard = re.sub(r"[{}|\[\]]", " ", detailer.wildcard)
    further = (one.prompt for one in source.conditionings)
    return (detailer.prompt, *prompts(detailer.keyframes), detailer.negative, wildcard, *further)


def loras_of(uses: Iterable[LoraUse], model: ModelRef, find: FindModel) -> tuple[LoraRef, ...]:
    """LoRAs by content, in order. Raises NotFound, DoesNotFit."""
    found = []
    for use in uses:
        clip_weight = use.weight if use.clip_weight is None else use.clip_weight
        ref = fitting(find(use.model, "lora"), model)
        found.append(LoraRef(model=ref, weight=use.weight, clip_weight=clip_weight))
    return tuple(found)


def embeddings_of(
    prompts: Iterable[str], model: ModelRef, named: Mapping[str, str], find: FindModel
) -> dict[str, ModelRef]:
    """Embeddings that prompts use, by the names that they use.

    Args:
        named: names in prompts -> names or hashes on the farm; a name that is not in it is its own.
    Raises:
        NotFound, DoesNotFit, TooDeep.
    """
    found = {}
    for name in embedding_names(prompts):
        try:
            ref = find(named.get(name, without_suffix(name)), "embedding")
        except NotFound as error:
            raise NotFound(f"A prompt says `embedding:{name}`. {error}") from None
        found[name] = fitting(ref, model)
    return found


def stack_in_key(job: Job, source: Source) -> dict[str, object]:
    """The content key's part of what lies over the model; nothing where nothing does, as before there was one."""
    parts: dict[str, object] = {
        "vae": job.vae.hash if job.vae else None,
        "loras": [(lora.model.hash, lora.weight, lora.clip_weight) for lora in source.loras],
        "embeddings": {name: ref.hash for name, ref in source.embeddings.items()},
        # The second version of the rules by which prompts are read, where it makes a difference.
        "prompts": 2 if any(map(reads_differently, texts_of(source))) else None,
    }
    return {name: part for name, part in parts.items() if part}


def fitting(over: ModelRef, model: ModelRef) -> ModelRef:
    """What lies over a model or beside it. Raises DoesNotFit: it was made for another kind of model."""
    if 0 < over.text_width != model.text_width > 0:
        raise DoesNotFit(over, model)
    return over


def _made_for(ref: ModelRef) -> str:
    family = ref.family or WIDTHS.get(ref.text_width, "")
    return f"{FAMILY_NAMES[family]} (text of width {ref.text_width})"
