"""Weights in prompts, as ComfyUI's users write them: `(word)`, `(words:1.3)`, `((word))`; `\\(` is plain text."""

from __future__ import annotations

import math

EMPHASIS = 1.1
"""What a pair of parentheses multiplies the weight by, if it does not set one."""


def weighted(prompt: str) -> list[tuple[str, float]]:
    """The prompt's runs of text with their weights, in order.

    A pair of parentheses makes the weight 1.1 times what it is outside, or sets it: `(word:1.3)`. A parenthesis
    without its partner is plain text.
    """
    closing = _pairs(prompt)
    runs: list[tuple[str, float]] = []
    outer: list[tuple[int, float]] = []
    text, weight, place = "", 1.0, 0
    while place < len(prompt):
        char = prompt[place]
        if outer and place == outer[-1][0]:
            runs, text = _flushed(runs, text, weight)
            weight = outer.pop()[1]
            place = prompt.index(")", place)
        elif char == "\\" and prompt[place + 1 : place + 2] in ("(", ")"):
            place += 1
            text += prompt[place]
        elif place in closing:
            runs, text = _flushed(runs, text, weight)
            end, inner = _own_weight(prompt, place, closing[place], weight * EMPHASIS)
            outer.append((end, weight))
            weight = inner
        else:
            text += char
        place += 1
    return _flushed(runs, text, weight)[0]


def _flushed(runs: list[tuple[str, float]], text: str, weight: float) -> tuple[list[tuple[str, float]], str]:
    return ([*runs, (text, weight)] if text else runs), ""


def _pairs(prompt: str) -> dict[int, int]:
    """Where each parenthesis that has a partner opens and closes."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for place, char in enumerate(prompt):
        if place and prompt[place - 1] == "\\":
            continue
        if char == "(":
            opened.append(place)
        elif char == ")" and opened:
            found[opened.pop()] = place
    return found


def _own_weight(prompt: str, start: int, end: int, weight: float) -> tuple[int, float]:
    """Where the text of a pair ends, and its weight: the number behind the last colon, if there is one."""
    colon = prompt.rfind(":", start + 1, end)
    number = _number(prompt[colon + 1 : end]) if colon > start + 1 else None
    return (end, weight) if number is None else (colon, number)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
