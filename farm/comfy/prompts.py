"""Prompts: conditionings followed back to their texts."""

from __future__ import annotations

from dataclasses import dataclass, field

from farm.comfy.pictures import FileUse, mask_of
from farm.comfy.pipes import source
from farm.comfy.reader import Feed, Place, Reader
from farm.comfy.workflow import Node

REASONS: dict[str, str] = {
    **dict.fromkeys(
        ("ControlNetApply", "ControlNetApplyAdvanced", "ControlNetApplySD3", "ACN_AdvancedControlNetApply"),
        "It shows the whole control picture to each crop, so that the crop and its hint do not fit; the farm cuts "
        "control pictures at the crop. Use ControlNetApply (SEGS) of Impact Pack on the SEGS instead.",
    ),
    **dict.fromkeys(
        ("CLIPTextEncodeSDXL", "CLIPTextEncodeSDXLRefiner"),
        "It tells the model a size of its own; the farm tells SDXL the size that is sampled, as CLIPTextEncode does. "
        "Use CLIPTextEncode.",
    ),
    "ConditioningZeroOut": "The farm has no zeroed conditioning. Use CLIPTextEncode with an empty text.",
    "ConditioningConcat": "The farm does not join conditionings. Write both texts into one CLIPTextEncode, with BREAK.",
    "ConditioningAverage": "The farm does not mix conditionings. Write one text, with weights: (words:1.2).",
    "ImpactWildcardEncode": "The farm does not run it. Copy its populated text into CLIPTextEncode, its LoRAs into "
    "LoraLoader nodes.",
}
"""Why a node's conditioning cannot be had, and what to use instead."""


@dataclass(frozen=True)
class Further:
    """A text that counts where a mask is white."""

    node: Node
    text: str
    strength: float
    mask: FileUse


@dataclass
class Prompt:
    """What a conditioning says."""

    text: tuple[Place, str] | None = None
    clips: list[Place] = field(default_factory=list)
    """Inputs that its texts' encoders come in by."""
    further: list[Further] = field(default_factory=list)


def prompt_of(reader: Reader, place: Place) -> Prompt:
    """What the conditioning that feeds an input says, as far as it can be followed."""
    prompt = Prompt()
    fed = source(reader, place)
    if fed is None:
        if not reader.linked(place):
            reader.findings.problem(place.node, place.name, "No prompt is linked here. Link a CLIPTextEncode.")
        return prompt
    _collect(reader, fed, place, prompt)
    return prompt


def _collect(reader: Reader, fed: Feed, place: Place, prompt: Prompt) -> None:
    node = fed.node
    with reader.inside(node) as fresh:
        if not fresh:
            return
        if node.class_type == "CLIPTextEncode":
            _text(reader, node, prompt)
        elif node.class_type == "ConditioningCombine":
            for name in ("conditioning_1", "conditioning_2"):
                part = Place(node, name)
                below = source(reader, part)
                if below is not None:
                    _collect(reader, below, part, prompt)
            reader.findings.carry(node, "prompts beside each other")
        elif node.class_type == "ConditioningSetMask":
            _masked(reader, node, prompt)
        else:
            reason = REASONS.get(node.class_type, "The farm does not run it. Use CLIPTextEncode.")
            reader.findings.problem(node, "", f"It makes `{place.name}` of node {place.node.label}. {reason}")
            behind = Place(node, "conditioning")
            below = source(reader, behind)
            if below is not None:
                _collect(reader, below, behind, prompt)


def _text(reader: Reader, node: Node, prompt: Prompt) -> None:
    place = Place(node, "text")
    text = reader.text(place, "")
    if text is None:
        return
    if prompt.text is not None and prompt.text[0].node.id != node.id:
        reader.findings.problem(
            node,
            "",
            f"It stands beside node {prompt.text[0].node.label} in one conditioning, for the same pixels; the farm has "
            f"one prompt there. Write both texts into one, or give one of them a mask (ConditioningSetMask).",
        )
        return
    prompt.text = place, text
    prompt.clips.append(Place(node, "clip"))


def _masked(reader: Reader, node: Node, prompt: Prompt) -> None:
    inner = prompt_of(reader, Place(node, "conditioning"))
    strength = reader.number(Place(node, "strength"), 1.0)
    if reader.text(Place(node, "set_cond_area"), "default") not in ("default", None):
        reader.findings.problem(node, "set_cond_area", "The farm has only `default` here. Set it to that.")
    mask = mask_of(reader, Place(node, "mask"))
    prompt.clips += inner.clips
    if inner.text is not None and mask is not None and strength is not None:
        prompt.further.append(Further(node, inner.text[1], float(strength), mask))
        reader.findings.carry(node, "a further prompt with a mask")
