"""Textual inversion (arXiv:2208.01618): vectors that stand for a word of a prompt, from `.safetensors` files."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from farm.adapters.model_facts import SINGLE
from workers.gpu.faults import BadModel


def embedding_file(path: Path) -> Path:
    """The file of an embedding in the cache, or the file itself."""
    return path / SINGLE if path.is_dir() else path


def load_vectors(name: str, path: Path, slot: str, width: int) -> Tensor:
    """The vectors of an embedding for one text encoder, `[vectors, width]`.

    Args:
        name: as the prompt says it, for messages.
        slot: `clip_l`, `clip_g` or `clip_h`: which part is meant, in a file for several encoders.
    Raises:
        BadModel: the file cannot be read, or its vectors are of another width.
    """
    try:
        found = load_file(embedding_file(path))
    except (OSError, SafetensorError) as error:
        raise BadModel(f"the embedding {name!r} cannot be read: {error}", "add it again") from error
    parts = [found[key] for key in (slot, "emb_params") if key in found] or list(found.values())
    vectors = parts[0].float()
    vectors = vectors[None] if vectors.ndim == 1 else vectors
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise BadModel(
            f"the embedding {name!r} has vectors of width {vectors.shape[-1]}, where its text encoder ({slot}) has "
            f"{width}",
            "use an embedding that was made for this kind of model",
        )
    return vectors
