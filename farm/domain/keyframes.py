"""Parameters that change over a clip: values at key frames, and what lies between them. Pure.

Numbers go linearly from one key frame to the next, in steps of STEPS, so that frames share batches; before the first
and behind the last key frame the value stays. A prompt fades into the next one in as many steps as BLENDS: the mean of
both texts' conditionings, by the share of the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from farm.errors import Rejected

MAX_KEYS = 1000
"""Key frames of one parameter."""
STEPS = {"denoise": 2, "cfg": 1}
"""Decimals of what lies between two key frames: denoise in steps of 0.01, cfg of 0.1."""
BLENDS = 20
"""Steps from one prompt to the next."""

_T = TypeVar("_T")
# Ranges as in `Detailer`; a test holds them to it.
_Denoise = Annotated[float, Field(ge=0.0001, le=1)]
_Cfg = Annotated[float, Field(ge=0, le=100)]
_Prompt = Annotated[str, Field(max_length=20_000)]


class Keyframes(BaseModel):
    """Values by frame number, as the clip's pictures count: a video's first frame is 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    denoise: Annotated[tuple[tuple[int, _Denoise], ...], Field(max_length=MAX_KEYS)] = ()
    """In place of `denoise`."""
    cfg: Annotated[tuple[tuple[int, _Cfg], ...], Field(max_length=MAX_KEYS)] = ()
    """In place of `cfg`."""
    prompt: Annotated[tuple[tuple[int, _Prompt], ...], Field(max_length=MAX_KEYS)] = ()
    """In place of `prompt`."""

    @field_validator("denoise", "cfg", "prompt")
    @classmethod
    def _rising(cls, given: tuple[tuple[int, _T], ...]) -> tuple[tuple[int, _T], ...]:
        for (before, _), (after, _) in pairwise(given):
            if after <= before:
                raise ValueError(f"key frame {after} comes behind {before}; frame numbers must rise, each given once.")
        return given


@dataclass(frozen=True)
class Setting:
    """What parameters are at one frame."""

    values: tuple[tuple[str, float | str], ...] = ()
    """Parameter -> its value there; those without key frames are not in it."""
    toward: str = ""
    """The prompt that the one in `values` fades into."""
    share: float = 0.0
    """How far, from 0 to below 1."""


PLAIN = Setting()
"""Of parameters without key frames."""


def folded(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a user gave for parameters, with `"denoise": {"keyframes": [[1, 0.3], [120, 0.6]]}` taken as
    `"keyframes": {"denoise": [[1, 0.3], [120, 0.6]]}`.

    Raises:
        ValueError: key frames in both places.
    """
    values = dict(given)
    found = {}
    for name in Keyframes.model_fields:
        value = values.get(name)
        if isinstance(value, Mapping) and set(value) == {"keyframes"}:
            found[name] = values.pop(name)["keyframes"]
    if not found:
        return values
    other = values.get("keyframes") or {}
    already = dict(other) if isinstance(other, Mapping) else {n: getattr(other, n) for n in other.model_fields_set}
    twice = sorted(found.keys() & already.keys())
    if twice:
        raise ValueError(f"{twice[0]} has key frames twice, in itself and in `keyframes`; leave one out.")
    return values | {"keyframes": already | found}


def laid_over(below: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters overlaid by those that a further layer sets itself: its plain value ends key frames below, its key
    frames end a plain value.

    Raises:
        Rejected: the layer sets a parameter both ways.
    """
    kept = _by_name(below.get("keyframes"))
    own = _by_name(layer.get("keyframes"))
    twice = sorted(own.keys() & layer.keys())
    if twice:
        raise Rejected(
            f"`{twice[0]}` is given as one value and by key frames. Leave one of the two out, here or in the document."
        )
    merged = {name: keys for name, keys in kept.items() if name not in layer} | own
    return {**below, **layer, "keyframes": Keyframes.model_validate(merged) if merged else None}


def typed_over(below: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The same for parameters in a document that nobody has checked yet, overlaid by what is typed besides."""
    own, kept = given.get("keyframes", {}), below.get("keyframes") or {}
    if not (isinstance(own, Mapping) and isinstance(kept, Mapping) and (own or kept)):
        return {**below, **given}
    kept = {name: keys for name, keys in kept.items() if name not in given}
    values = {name: value for name, value in below.items() if name not in own}
    return {**values, **given, "keyframes": {**kept, **own} or None}


def setting_at(keyframes: Keyframes | None, number: int) -> Setting:
    """What the parameters with key frames are at frame `number`."""
    if keyframes is None:
        return PLAIN
    values: dict[str, float | str] = {}
    for name, decimals in STEPS.items():
        keys: tuple[tuple[int, float], ...] = getattr(keyframes, name)
        if keys:
            (before, after), share = _around(keys, number)
            low, high = sorted((before, after))
            between = round(before + (after - before) * share, decimals)
            values[name] = min(max(between, low), high) if share else before
    if not keyframes.prompt:
        return Setting(tuple(values.items()))
    (text, following), share = _around(keyframes.prompt, number)
    share = round(share * BLENDS) / BLENDS
    if share == 1 or text == following:
        text, share = following, 0.0
    values["prompt"] = text
    return Setting(tuple(values.items()), following if share else "", share)


def prompts(keyframes: Keyframes | None) -> tuple[str, ...]:
    """All texts that there are key frames for."""
    return tuple(text for _, text in keyframes.prompt) if keyframes else ()


def _by_name(keyframes: Keyframes | None) -> dict[str, Any]:
    return {name: keys for name, keys in keyframes if keys} if keyframes is not None else {}


def _around(keys: Sequence[tuple[int, _T]], number: int) -> tuple[tuple[_T, _T], float]:
    """The values of the key frames before and behind a frame, and the share of the way from one to the other."""
    for (start, before), (end, after) in pairwise(keys):
        if start <= number < end:
            return (before, after), (number - start) / (end - start)
    edge = keys[0][1] if number < keys[0][0] else keys[-1][1]
    return (edge, edge), 0.0
