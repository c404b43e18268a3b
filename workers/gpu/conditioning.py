"""Prompts to text conditioning: a CLIP tokenizer and encoder, any number of tokens, weights."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from workers.gpu.prompts import weighted

LONGEST_WHOLE_RUN = 7
"""Tokens; a run of text with one weight of so many or fewer is not split over two chunks."""
REMEMBERED = 64
"""Prompts kept in memory."""

Tokens = list[tuple[int, float]]
"""Token ids with their weights."""


class TextEncoder:
    """A CLIP text model with its tokenizer; remembers what it has encoded."""

    def __init__(self, tokenizer: Any, encoder: Any) -> None:  # noqa: ANN401  transformers is untyped
        self._tokenizer = tokenizer
        self._encoder = encoder
        self._length = int(encoder.config.max_position_embeddings)
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    def encode(self, prompt: str) -> Tensor:
        """Conditioning `[1, 77 * chunks, width]` float32: the encoder's last layer, chunk after chunk.

        A prompt longer than one chunk (75 tokens between the start and the end token) is cut into several, as ComfyUI
        does; each is encoded by itself. A token of weight w is moved away from the empty prompt's by that factor.
        """
        if prompt not in self._known:
            self._known[prompt] = self._encoded(prompt)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(prompt)
        return self._known[prompt]

    def _encoded(self, prompt: str) -> Tensor:
        chunks = [self._padded(chunk) for chunk in self._chunks(prompt)]
        weights = torch.tensor([[weight for _, weight in chunk] for chunk in chunks])
        hidden = self._hidden(chunks)
        if not bool((weights == 1).all()):
            empty = self._hidden([self._padded([])])
            # A weight of 1 leaves the token's bits alone.
            moved = (hidden - empty) * weights[..., None].to(hidden.device) + empty
            hidden = torch.where((weights == 1)[..., None].to(hidden.device), hidden, moved)
        return hidden.flatten(0, 1)[None]

    def _hidden(self, chunks: list[Tokens]) -> Tensor:
        ids = torch.tensor([[token for token, _ in chunk] for chunk in chunks], device=self._encoder.device)
        hidden: Tensor = self._encoder(ids).last_hidden_state.float()
        return hidden

    def _chunks(self, prompt: str) -> list[Tokens]:
        room = self._length - 2
        chunks: list[Tokens] = [[]]
        for text, weight in weighted(prompt):
            ids = self._tokenizer(text, add_special_tokens=False, truncation=False).input_ids
            if len(ids) <= LONGEST_WHOLE_RUN and len(ids) > room - len(chunks[-1]):
                chunks.append([])
            while ids:
                if len(chunks[-1]) == room:
                    chunks.append([])
                taken = room - len(chunks[-1])
                chunks[-1] += [(token, weight) for token in ids[:taken]]
                ids = ids[taken:]
        return chunks

    def _padded(self, tokens: Tokens) -> Tokens:
        tokenizer = self._tokenizer
        framed = [(tokenizer.bos_token_id, 1.0), *tokens, (tokenizer.eos_token_id, 1.0)]
        return framed + [(tokenizer.pad_token_id, 1.0)] * (self._length - len(framed))
