"""AnimateDiff-Evolved's loaders: motion module, motion LoRAs, context windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from farm.comfy.pipes import source
from farm.comfy.reader import Place, Reader
from farm.comfy.workflow import Node, cut

BETAS = ("autoselect", "sqrt_linear (AnimateDiff)")
"""Noise tables that the farm gives models with a motion module (PARITY 7)."""
APPLIED = ("ADE_ApplyAnimateDiffModel", "ADE_ApplyAnimateDiffModelSimple")
MOTION_LORAS = {"ADE_AnimateDiffLoRALoader": "name"}


@dataclass(frozen=True)
class Windows:
    """A node with context options: the farm's schedule, and the inputs that the node has."""

    schedule: str
    stride: bool = False
    looped: bool = False


CONTEXTS: dict[str, Windows] = {
    "ADE_StandardStaticContextOptions": Windows("standard_static"),
    "ADE_StandardUniformContextOptions": Windows("standard_uniform", stride=True),
    "ADE_LoopedUniformContextOptions": Windows("looped_uniform", stride=True, looped=True),
    "ADE_AnimateDiffUniformContextOptions": Windows("looped_uniform", stride=True, looped=True),
}
NOT_OURS: Mapping[str, str] = {
    "ad_settings": "settings of the motion module",
    "motion_model_settings": "settings of the motion module",
    "sample_settings": "sampling settings",
    "ad_keyframes": "key frames of the motion module",
    "scale_multival": "a scale of the motion module",
    "effect_multival": "an effect strength of the motion module",
    "per_block": "strengths per block",
    "prev_m_models": "a second motion module",
    "prev_context": "a second set of context options",
    "view_opts": "view options",
    "visualize": "a visualization",
}
"""Inputs of these nodes that the farm has nothing for; harmless where nothing is linked."""


@dataclass
class Motion:
    """What moves: files, and windows as parameters of a detailer."""

    node: Node
    module: tuple[Place, str] | None = None
    loras: list[tuple[Place, str, float]] = field(default_factory=list)
    windows: dict[str, tuple[Node, str, Any]] = field(default_factory=dict)
    """Parameter -> node, input, value."""


def use_evolved(reader: Reader, node: Node) -> Motion:
    """Of a node that uses motion modules which others have loaded and applied."""
    motion = Motion(node)
    _settings(reader, node, motion)
    fed = source(reader, Place(node, "m_models"))
    if fed is None:
        if not reader.linked(Place(node, "m_models")):
            reader.findings.problem(node, "m_models", "No motion module is linked here. Link one.")
        return motion
    if fed.node.class_type not in APPLIED:
        _unknown(reader, fed.node, "applies the motion module", APPLIED)
        return motion
    _applied(reader, fed.node, motion)
    return motion


def legacy_motion(reader: Reader, node: Node) -> Motion:
    """Of a node that loads, applies and uses a motion module at once."""
    motion = Motion(node)
    _settings(reader, node, motion)
    _named(reader, Place(node, "model_name"), motion)
    _loras(reader, Place(node, "motion_lora"), motion)
    if reader.number(Place(node, "motion_scale"), 1.0) not in (1.0, None):
        reader.findings.problem(node, "motion_scale", "The farm runs motion modules at the scale 1. Set it to 1.")
    return motion


def _settings(reader: Reader, node: Node, motion: Motion) -> None:
    betas = reader.text(Place(node, "beta_schedule"), "autoselect")
    if betas is not None and betas not in BETAS:
        reader.findings.problem(
            node,
            "beta_schedule",
            f"It is {cut(betas)!r}; the farm takes the noise table that the motion module was made for. Set "
            f"{' or '.join(map(repr, BETAS))}.",
        )
    _nothing_else(reader, node)
    _context(reader, Place(node, "context_options"), motion)
    reader.findings.carry(node, "a job whose frames see each other")


def _applied(reader: Reader, node: Node, motion: Motion) -> None:
    _nothing_else(reader, node)
    for name, all_of_it in (("start_percent", 0.0), ("end_percent", 1.0)):
        if reader.number(Place(node, name), all_of_it) not in (all_of_it, None):
            reader.findings.problem(node, name, f"The farm's motion modules act in all steps. Set it to {all_of_it:g}.")
    _loras(reader, Place(node, "motion_lora"), motion)
    reader.findings.carry(node, "nothing: it hands the motion module on")
    loaded = source(reader, Place(node, "motion_model"))
    if loaded is None:
        if not reader.linked(Place(node, "motion_model")):
            reader.findings.problem(node, "motion_model", "No motion module is linked here. Link one.")
    elif loaded.node.class_type != "ADE_LoadAnimateDiffModel":
        _unknown(reader, loaded.node, "loads the motion module", ("ADE_LoadAnimateDiffModel",))
    else:
        _nothing_else(reader, loaded.node)
        reader.findings.carry(loaded.node, "the motion module of the job")
        _named(reader, Place(loaded.node, "model_name"), motion)


def _named(reader: Reader, place: Place, motion: Motion) -> None:
    file = reader.text(place, "")
    if file:
        motion.module = place, file
    elif file is not None:
        reader.findings.problem(place.node, place.name, "No motion module is named here. Choose one.")


def _loras(reader: Reader, place: Place, motion: Motion) -> None:
    """Motion LoRAs one behind the other; they add up, so their order is free."""
    seen: set[str] = set()
    while (fed := source(reader, place)) is not None:
        node = fed.node
        if node.class_type not in MOTION_LORAS:
            _unknown(reader, node, "makes motion LoRAs", tuple(MOTION_LORAS))
            return
        if node.id in seen:
            reader.findings.problem(node, "prev_motion_lora", "Motion LoRAs lead in a circle. Unlink one of them.")
            return
        seen.add(node.id)
        # Older versions call the file `lora_name`.
        named = Place(node, "lora_name" if "lora_name" in node.inputs else MOTION_LORAS[node.class_type])
        file, strength = reader.text(named, ""), reader.number(Place(node, "strength"), 1.0)
        if file and strength is not None:
            motion.loras.append((named, file, float(strength)))
        place = Place(node, "prev_motion_lora")


def _context(reader: Reader, place: Place, motion: Motion) -> None:
    fed = source(reader, place)
    if fed is None:
        if not reader.linked(place):
            reader.findings.note(
                place.node,
                place.name,
                "Nothing is linked here: ComfyUI shows the motion module all frames at once, the farm windows of "
                "`context_length` frames, 16 if nothing else is said.",
            )
        return
    node = fed.node
    windows = CONTEXTS.get(node.class_type)
    if windows is None:
        _unknown(reader, node, "says which frames the motion module sees together", tuple(CONTEXTS))
        return
    _nothing_else(reader, node)
    found: dict[str, tuple[str, Any]] = {
        "context_schedule": ("", windows.schedule),
        "context_length": ("context_length", reader.number(Place(node, "context_length"), 16, whole=True)),
        "context_overlap": ("context_overlap", reader.number(Place(node, "context_overlap"), 4, whole=True)),
        "context_fuse": ("fuse_method", reader.text(Place(node, "fuse_method"), "pyramid")),
    }
    if windows.stride:
        found["context_stride"] = "context_stride", reader.number(Place(node, "context_stride"), 1, whole=True)
    if windows.looped:
        found["closed_loop"] = "closed_loop", reader.flag(Place(node, "closed_loop"), False)
    motion.windows = {name: (node, own, value) for name, (own, value) in found.items() if value is not None}
    if reader.flag(Place(node, "use_on_equal_length"), False):
        reader.findings.note(node, "use_on_equal_length", "A clip as long as a window is one window on the farm.")
    for name, whole in (("start_percent", 0.0), ("guarantee_steps", 1)):
        if reader.number(Place(node, name), whole) not in (whole, None):
            reader.findings.problem(node, name, f"The farm's windows act in all steps. Set it to {whole:g}.")
    reader.findings.carry(node, f"windows: {windows.schedule}")


def _nothing_else(reader: Reader, node: Node) -> None:
    for name, what in NOT_OURS.items():
        if reader.linked(Place(node, name)):
            reader.findings.problem(node, name, f"The farm has nothing for {what}. Unlink this input.")


def _unknown(reader: Reader, node: Node, does: str, known: tuple[str, ...]) -> None:
    reader.findings.problem(node, "", f"It {does}, and the farm does not know how. Use {', '.join(known)} instead.")
