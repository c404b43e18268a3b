"""Prompts to text conditioning: a CLIP tokenizer and encoder, any number of tokens."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

LONGEST_WHOLE_WORD = 7
"""Tokens; a word of so many or fewer is not split over two chunks."""
REMEMBERED = 64
"""Prompts kept in memory."""


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
        does; each is encoded by itself.
        """
        if prompt not in self._known:
            chunks = torch.tensor(self._chunks(prompt), device=self._encoder.device)
            self._known[prompt] = self._encoder(chunks).last_hidden_state.float().flatten(0, 1)[None]
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(prompt)
        return self._known[prompt]

    def _chunks(self, prompt: str) -> list[list[int]]:
        """Token ids of each chunk, padded to the encoder's length."""
        room = self._length - 2
        parts: list[list[int]] = [[]]
        for word in prompt.split():
            tokens = self._tokenizer(word, add_special_tokens=False, truncation=False).input_ids
            if len(tokens) > room - len(parts[-1]) and len(tokens) <= LONGEST_WHOLE_WORD:
                parts.append([])
            while tokens:
                if len(parts[-1]) == room:
                    parts.append([])
                taken = room - len(parts[-1])
                parts[-1] += tokens[:taken]
                tokens = tokens[taken:]
        return [self._padded(part) for part in parts]

    def _padded(self, tokens: list[int]) -> list[int]:
        tokenizer = self._tokenizer
        framed = [tokenizer.bos_token_id, *tokens, tokenizer.eos_token_id]
        return framed + [tokenizer.pad_token_id] * (self._length - len(framed))
