r"""Prompts as ComfyUI's users write them: `(word)`, `(words:1.3)`, `\(` as plain text, `embedding:name`, `BREAK`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from farm.errors import Rejected

EMPHASIS = 1.1
"""What a pair of parentheses multiplies the weight by, if it does not set one."""
DEEPEST = 100
"""Pairs of parentheses inside each other; far above what a weight of 1.1 to that power can mean."""
EMBEDDING = "embedding:"
SUFFIXES = (".safetensors", ".pt", ".bin")
"""Endings that prompts written for files carry."""

_BREAK = re.compile(r"\bBREAK\b")
_ESCAPED = {r"\(": "\ue000", r"\)": "\ue001"}
"""Characters of private use stand for parentheses that are text, until the others have been read."""


class TooDeep(Rejected):
    """Parentheses in a prompt are nested without end."""

    def __init__(self) -> None:
        super().__init__(
            f"A prompt has more than {DEEPEST} pairs of parentheses inside each other. Write a weight instead: "
            f"(word:1.5); or \\( for a parenthesis that is text."
        )


@dataclass(frozen=True)
class Run:
    """A stretch of a prompt."""

    text: str
    weight: float
    embedding: bool = False
    """`text` is the name of an embedding, whose vectors stand here."""


def parts(prompt: str) -> list[list[Run]]:
    """A prompt's runs, part by part: `BREAK` begins a new part. At least one; parts without text are left out.

    Inside a part each weight has its own run, since ComfyUI reads each by itself. Raises TooDeep.
    """
    found: list[list[Run]] = [[]]
    for text, weight in weighted(prompt):
        first, *others = _BREAK.split(text)
        found[-1] += _runs(first, weight)
        for other in others:
            found.append(_runs(other, weight))
    return [runs for runs in found if any(run.text.strip() for run in runs)] or [[]]


def embedding_names(prompts: Iterable[str]) -> tuple[str, ...]:
    """Names of all embeddings that the prompts use, sorted. Raises TooDeep."""
    return tuple(
        sorted({run.text for prompt in prompts for part in parts(prompt) for run in part if run.embedding}),
    )


def without_suffix(name: str) -> str:
    """The name of an embedding, where a prompt names a file."""
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)


def weighted(prompt: str) -> list[tuple[str, float]]:
    """The prompt's stretches of text with their weights, in order.

    A pair of parentheses makes the weight 1.1 times what it is outside, or sets it: `(word:1.3)`. A closing parenthesis
    too many takes the next opening one with it, and an opening one without its partner makes the rest plain text: so
    ComfyUI reads them. Raises TooDeep.
    """
    for written, kept in _ESCAPED.items():
        prompt = prompt.replace(written, kept)
    found: list[tuple[str, float]] = []
    waiting = [(prompt, 1.0, 0, True)]
    while waiting:
        text, weight, depth, grouped = waiting.pop()
        if not grouped:
            found.append((_unescaped(text), weight))
            continue
        if depth > DEEPEST:
            raise TooDeep
        items = [
            (*_own_weight(item[1:-1], weight * EMPHASIS), depth + 1, True) if pair else (item, weight, depth, False)
            for item, pair in _groups(text)
        ]
        waiting += reversed(items)
    return [run for run in found if run[0]]


def reads_differently(prompt: str) -> bool:
    """Whether the prompt has what the first version of these rules read in another way: content keys tell it."""
    if _BREAK.search(prompt) or EMBEDDING in prompt:
        return True
    for written in _ESCAPED:
        prompt = prompt.replace(written, "")
    level = 0
    for char in prompt:
        level += {"(": 1, ")": -1}.get(char, 0)
        if level < 0:
            return True
    return level > 0


def _groups(text: str) -> Iterable[tuple[str, bool]]:
    """Items of the outermost level, and whether each is a pair of parentheses with what is in it."""
    item, level = "", 0
    for char in text:
        if char == "(" and level == 0:
            if item:
                yield item, False
            item = ""
        level += {"(": 1, ")": -1}.get(char, 0)
        item += char
        if char == ")" and level == 0:
            yield item, True
            item = ""
    if item:
        yield item, len(item) > 1 and item[0] == "(" and item[-1] == ")"


def _own_weight(text: str, weight: float) -> tuple[str, float]:
    """What a pair holds, and its weight: the number behind its last colon, if there is one."""
    colon = text.rfind(":")
    number = _number(text[colon + 1 :]) if colon > 0 else None
    return (text, weight) if number is None else (text[:colon], number)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _unescaped(text: str) -> str:
    for written, kept in _ESCAPED.items():
        text = text.replace(kept, written[1])
    return text


def _runs(text: str, weight: float) -> list[Run]:
    """Text and embeddings; an embedding's name begins a stretch or a word, and ends with the word."""
    first, *others = re.split(rf"[ \n]{EMBEDDING}", text)
    found: list[Run] = []
    for piece in (first, *(EMBEDDING + other for other in others)):
        words = piece.removeprefix(EMBEDDING).split() if piece.startswith(EMBEDDING) else []
        name = words[0].rstrip(",") if words else ""
        if not name:
            found.append(Run(piece, weight))
            continue
        rest = " ".join(word for word in (words[0][len(name) :], *words[1:]) if word)
        found += [Run(name, weight, embedding=True), Run(rest, weight)]
    return [run for run in found if run.text]
