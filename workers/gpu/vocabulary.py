"""The vocabulary of CLIP, for checkpoints that bring none: every Stable Diffusion was trained with it.

`clip_merges.txt.gz` holds the 48,894 merges of OpenAI's CLIP that its vocabulary is made of (`bpe_simple_vocab_16e6`,
github.com/openai/CLIP, MIT license, in the file beside it); tokens and their numbers follow from them.
"""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

MERGES = Path(__file__).with_name("clip_merges.txt.gz")
START, END = "<|startoftext|>", "<|endoftext|>"
FIRST = "!"
"""Token 0: what OpenCLIP pads with."""


def clip_tokenizer(pad_with_end: bool) -> Any:  # noqa: ANN401  transformers is untyped
    """A tokenizer of CLIP's; OpenAI's encoders were fed the end token as padding, OpenCLIP's the token 0."""
    merges = _merges()
    make: Any = CLIPTokenizer  # its hints ask for text where only pairs are taken
    return make(
        vocab=_numbers(merges),
        merges=list(merges),
        unk_token=END,
        bos_token=START,
        eos_token=END,
        pad_token=END if pad_with_end else FIRST,
    )


@cache
def _merges() -> tuple[tuple[str, str], ...]:
    lines = gzip.decompress(MERGES.read_bytes()).decode("utf-8").splitlines()
    return tuple((first, second) for first, second in (line.split(" ") for line in lines))


def _numbers(merges: tuple[tuple[str, str], ...]) -> dict[str, int]:
    """Token -> number: single bytes, those that end a word, what merges make, the start and the end."""
    single = _byte_symbols()
    tokens = [*single, *(symbol + "</w>" for symbol in single), *(first + second for first, second in merges)]
    return {token: number for number, token in enumerate([*tokens, START, END])}


def _byte_symbols() -> list[str]:
    """A printable character for each byte: its own, or one from above 255 where it has none that prints (GPT-2)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = 256 - len(printable)
    return [chr(byte) for byte in printable] + [chr(256 + number) for number in range(others)]
