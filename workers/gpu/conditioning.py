"""Prompts to text conditioning: one or two CLIPs, any number of tokens, weights, embeddings, `BREAK`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from farm.domain.prompts import Run, parts
from workers.gpu.clip import ClipText, Token
from workers.gpu.embeddings import load_vectors

REMEMBERED = 64
"""Prompts kept in memory."""


@dataclass(frozen=True)
class Encoded:
    """What a UNet is told by a prompt."""

    hidden: Tensor
    """`[1, 77 * chunks, width]` float32, chunk after chunk."""
    pooled: Tensor | None
    """`[1, width]` float32: the prompt as a whole, where the family has it (SDXL)."""


class TextEncoder:
    """The text encoders of a model; remembers what they have encoded."""

    def __init__(self, clips: Sequence[ClipText]) -> None:
        """
        Args:
            clips: their values are laid side by side.
        """
        self.clips = tuple(clips)
        self._known: OrderedDict[tuple[object, ...], Encoded] = OrderedDict()

    def forget(self) -> None:
        """What was encoded is no longer true: the encoders' weights have changed."""
        self._known.clear()

    def encode(self, prompt: str) -> Tensor:
        """The values of a prompt, `[1, 77 * chunks, width]`; see `encoded`."""
        return self.encoded(prompt).hidden

    def encoded(
        self, prompt: str, clip_skip: int | None = None, embeddings: Mapping[str, Path] | None = None
    ) -> Encoded:
        """What the UNet is told by a prompt.

        A prompt longer than one chunk (75 tokens between the start and the end token) is cut into several, and each
        part behind a `BREAK` begins with a new one; each is encoded by itself.

        Args:
            clip_skip: layer from the end; None: the family's own.
            embeddings: files by the names that the prompt uses.
        Raises:
            NoSuchLayer, BadModel, TooDeep.
        """
        files = dict(embeddings or {})
        key = (prompt, clip_skip, tuple(sorted(files.items())))
        if key not in self._known:
            self._known[key] = self._encoded(prompt, clip_skip, files)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def _encoded(self, prompt: str, clip_skip: int | None, files: Mapping[str, Path]) -> Encoded:
        hidden, pooled = [], None
        for number, runs in enumerate(parts(prompt)):
            found = [clip.encode(_tokens(clip, runs, files), clip_skip) for clip in self.clips]
            # An embedding may have more vectors for one encoder than for another.
            shared = min(len(values) for values, _ in found)
            hidden.append(torch.cat([values[:shared] for values, _ in found], dim=-1))
            if number == 0:
                pooled = next((whole for _, whole in reversed(found) if whole is not None), None)
        return Encoded(torch.cat(hidden)[None], None if pooled is None else pooled[None])


def _tokens(clip: ClipText, runs: Sequence[Run], files: Mapping[str, Path]) -> list[list[Token]]:
    found: list[list[Token]] = []
    for run in runs:
        if run.embedding and run.text in files:
            vectors = load_vectors(run.text, files[run.text], clip.slot, clip.width)
            found.append([(vector, run.weight) for vector in vectors])
        else:
            # Without its file, as where nobody looked a name up, an embedding is text.
            text = f"embedding:{run.text}" if run.embedding else run.text
            found.append([(token, run.weight) for token in clip.tokens(text)])
    return found
