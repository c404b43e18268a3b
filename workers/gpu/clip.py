"""One CLIP text model: token numbers and vectors in, a layer's values out, as ComfyUI takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from farm.errors import Rejected
from workers.gpu.faults import memory_errors

Slot = Literal["clip_l", "clip_g", "clip_h"]
"""Whose text model it is: OpenAI's CLIP, or OpenCLIP's bigG or H. Embeddings for several name their parts so."""
Token = tuple[int | Tensor, float]
"""A token's number, or a vector in its place, `[width]`; and its weight."""

LONGEST_WHOLE_RUN = 7
"""Tokens; a run of text with one weight of so many or fewer is not split over two chunks."""
PLACEHOLDER = 0
"""Token whose place a vector takes; not the end token, by whose place the whole text is summed up."""


class NoSuchLayer(Rejected):
    """`clip_skip` asks for a layer that there is not."""

    def __init__(self, clip_skip: int, deepest: int, highest: int) -> None:
        super().__init__(
            f"`clip_skip` is {clip_skip}; this model's text encoder has the layers {highest} to {deepest}. "
            f"Choose one of them, or leave `clip_skip` out."
        )


@dataclass(frozen=True)
class LayerRule:
    """Which layer a family was trained with."""

    default: int
    """From the end: -1 the last."""
    normed: bool
    """The final norm is applied, whichever layer it is."""
    cut: int = 0
    """Layers that the files leave out at the end: diffusers' folders of Stable Diffusion 2.x have no last one."""


class ClipText:
    """A CLIP text model with its tokenizer."""

    def __init__(self, tokenizer: Any, encoder: Any, rule: LayerRule, slot: Slot = "clip_l") -> None:  # noqa: ANN401  transformers is untyped
        self.slot = slot
        self.encoder = encoder
        self._tokenizer = tokenizer
        self._rule = rule
        self._length = int(encoder.config.max_position_embeddings)
        self._inner: Any = getattr(encoder, "text_model", encoder)

    @property
    def width(self) -> int:
        """Of its values and of its tokens' vectors."""
        return int(self.encoder.config.hidden_size)

    def tokens(self, text: str) -> list[int]:
        """Token numbers of a text, without start and end."""
        found: list[int] = self._tokenizer(text, add_special_tokens=False, truncation=False).input_ids
        return found

    def encode(self, runs: Sequence[Sequence[Token]], clip_skip: int | None) -> tuple[Tensor, Tensor | None]:
        """The values of one part of a prompt.

        Args:
            runs: tokens; each run stays in one chunk, if it is short.
            clip_skip: layer from the end; None: the family's own.
        Returns:
            `[77 * chunks, width]` float32, chunk after chunk; and `[projection]` for the first chunk as a whole, from
            an encoder that has a projection. A token of weight w is moved away from the empty prompt's by that factor.
        Raises:
            NoSuchLayer.
        """
        chunks = [self._padded(chunk) for chunk in self._chunks(runs)]
        weights = torch.tensor([[weight for _, weight in chunk] for chunk in chunks])
        plain = bool((weights == 1).all())
        # One call for all, and the empty prompt with them.
        hidden, whole = self._run([[token for token, _ in chunk] for chunk in chunks], clip_skip)
        if not plain:
            empty, _ = self._run([[token for token, _ in self._padded([])]], clip_skip)
            # A weight of 1 leaves the token's bits alone.
            moved = (hidden - empty) * weights[..., None].to(hidden.device) + empty
            hidden = torch.where((weights == 1)[..., None].to(hidden.device), hidden, moved)
        return hidden.flatten(0, 1), None if whole is None else whole[0]

    def _run(self, rows: list[list[int | Tensor]], clip_skip: int | None) -> tuple[Tensor, Tensor | None]:
        numbers = [[PLACEHOLDER if isinstance(token, Tensor) else token for token in row] for row in rows]
        ids = torch.tensor(numbers, device=self.encoder.device)
        layers: nn.ModuleList = self._inner.encoder.layers
        seen: list[Tensor] = []
        with ExitStack() as hooks:
            hooks.enter_context(_hooked(layers[self._index(clip_skip, len(layers))], seen.append))
            hooks.enter_context(_replaced(self._inner.embeddings.token_embedding, rows))
            with memory_errors("encode a prompt"):
                output = self.encoder(ids)
        hidden = self._inner.final_layer_norm(seen[0]) if self._rule.normed else seen[0]
        whole = getattr(output, "text_embeds", None)
        return hidden.float(), None if whole is None else whole.float()

    def _index(self, clip_skip: int | None, layers: int) -> int:
        place = (self._rule.default if clip_skip is None else clip_skip) + self._rule.cut
        if clip_skip is not None and not -layers <= place <= -1:
            raise NoSuchLayer(clip_skip, -layers - self._rule.cut, -1 - self._rule.cut)
        return max(place, -layers)

    def _chunks(self, runs: Sequence[Sequence[Token]]) -> list[list[Token]]:
        room = self._length - 2
        chunks: list[list[Token]] = [[]]
        for run in runs:
            left = list(run)
            if len(left) <= LONGEST_WHOLE_RUN and len(left) > room - len(chunks[-1]):
                chunks.append([])
            while left:
                if len(chunks[-1]) == room:
                    chunks.append([])
                taken = room - len(chunks[-1])
                chunks[-1] += left[:taken]
                left = left[taken:]
        return chunks

    def _padded(self, tokens: Sequence[Token]) -> list[Token]:
        tokenizer = self._tokenizer
        framed: list[Token] = [(tokenizer.bos_token_id, 1.0), *tokens, (tokenizer.eos_token_id, 1.0)]
        return framed + [(tokenizer.pad_token_id, 1.0)] * (self._length - len(framed))


@contextmanager
def _hooked(module: nn.Module, keep: Any) -> Iterator[None]:  # noqa: ANN401  a list's append
    """Has `keep` called with what the module gives."""

    def seen(_module: nn.Module, _inputs: object, output: object) -> None:
        keep(output[0] if isinstance(output, tuple) else output)

    handle = module.register_forward_hook(seen)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _replaced(embedding: nn.Module, rows: list[list[int | Tensor]]) -> Iterator[None]:
    """Puts vectors in the places of tokens, after the table was looked up."""
    places = [
        (row, place, token)
        for row, tokens in enumerate(rows)
        for place, token in enumerate(tokens)
        if isinstance(token, Tensor)
    ]

    def filled(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        changed = output.clone()
        for row, place, vector in places:
            changed[row, place] = vector.to(changed)
        return changed

    handle = embedding.register_forward_hook(filled) if places else None
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()
