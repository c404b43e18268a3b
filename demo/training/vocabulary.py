"""A tokenizer of our own for runs from nothing: CLIP's byte-level alphabet and pairs learnt from a list of words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

SHARP = ("sharp, detailed, ", "best quality, detailed, ", "high detail, sharp focus, ", "highly detailed ")
"""What stands before the words of a picture that is to be sharp."""
BLURRY = ("blurry, low quality, ", "blurry, ", "low quality, worst quality, blurry, ", "soft, out of focus, ")
"""What stands before the words of a picture that stays soft: the negative prompt."""
MERGES = 400
"""Pairs that are learnt at the most."""
WORDS = (
    "a the of on in at with and person woman man girl boy child face eyes nose mouth hair hand skin smile portrait "
    "animal rabbit bunny cat dog bird horse fish fur feather grass leaves tree flower sky water sea cloud mountain "
    "house car street city night day light sun shadow photo photograph picture painting drawing cartoon render 3d "
    "animation film movie still cinematic masterpiece best worst high low quality detailed highly detail sharp soft "
    "focus blurry lighting texture background red green blue yellow white black brown old young beautiful"
)
"""Words that prompts are made of."""
START, END = "<|startoftext|>", "<|endoftext|>"


def byte_letters() -> list[str]:
    """A printable letter for each byte, as GPT-2's and CLIP's tokenizers have them; index is the byte."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    letters, spare = [], 256
    for byte in range(256):
        letters.append(chr(byte) if byte in printable else chr(spare))
        spare += byte not in printable
    return letters


def learn_merges(words: Iterable[str], count: int) -> list[tuple[str, str]]:
    """The pairs that occur most often, each after those before it were joined (Sennrich et al. 2016)."""
    letters = byte_letters()
    tallies = Counter(words)
    spelled = {word: [letters[byte] for byte in word.encode()] for word in tallies if word}
    for parts in spelled.values():
        parts[-1] += "</w>"
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in spelled.items():
            for pair in pairwise(parts):
                pairs[pair] += tallies[word]
        if not pairs:
            break
        # Of pairs that are equally frequent the first in the alphabet, so that the same words give the same list.
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for parts in spelled.values():
            join(parts, best)
    return merges


def join(parts: list[str], pair: tuple[str, str]) -> None:
    """Join each occurrence of `pair` in place."""
    index = 0
    while index < len(parts) - 1:
        if (parts[index], parts[index + 1]) == pair:
            parts[index : index + 2] = ["".join(pair)]
        index += 1


def write_tokenizer(folder: Path, captions: Sequence[str]) -> Path:
    """Write the files of a `CLIPTokenizer` into `folder`, unless they are there; the folder."""
    if (folder / "merges.txt").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    told = " ".join((WORDS, *SHARP, *BLURRY, *captions)).lower().replace(",", " , ").replace(":", " ")
    merges = learn_merges(told.split(), MERGES)
    letters = byte_letters()
    entries = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges), START, END]
    (folder / "vocab.json").write_text(json.dumps({entry: index for index, entry in enumerate(entries)}))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    return folder
