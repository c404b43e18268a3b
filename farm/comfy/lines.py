"""The ways of a model and of a text encoder from their loaders to the detailer: checkpoint, LoRAs, motion, layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from farm.comfy.motion import Motion, legacy_motion, use_evolved
from farm.comfy.pipes import source
from farm.comfy.reader import Feed, Place, Reader
from farm.comfy.workflow import Node

CHECKPOINTS = {"CheckpointLoaderSimple": "ckpt_name", "CheckpointLoader": "ckpt_name"}
"""Loaders of whole models -> their input with the file; outputs: model, encoder, VAE."""
MAX_NODES = 256
"""Nodes one behind the other that are followed."""
NOT_WHOLE = (
    "It loads a part of a model by itself; the farm's models are whole (network, encoder and VAE). Use one checkpoint "
    "with CheckpointLoaderSimple, or add the parts as one folder in diffusers' layout and load that."
)
PARTS = ("UNETLoader", "UnetLoaderGGUF", "CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader", "DiffusersLoader")


@dataclass(frozen=True)
class Loader:
    """A LoRA on one of the two ways."""

    node: Node
    file: str
    strength: float


@dataclass
class Line:
    """What lies on a way, as far as it could be followed."""

    checkpoint: tuple[Node, str] | None = None
    """The loader, and its file."""
    loras: list[Loader] = field(default_factory=list)
    """Nearest the checkpoint first."""
    motion: Motion | None = None
    differential: Node | None = None
    """A node that turns differential diffusion on."""
    clip_skip: tuple[Node, int] | None = None


Step = Callable[[Reader, Node, Line], str]
"""Takes up what a node adds, and names the input to go on with; empty at the end."""


def model_line(reader: Reader, place: Place) -> Line:
    """The way of the model that feeds an input."""
    return _followed(reader, place, MODEL_STEPS, "model")


def clip_line(reader: Reader, place: Place) -> Line:
    """The way of the text encoder that feeds an input."""
    return _followed(reader, place, CLIP_STEPS, "text encoder")


def _followed(reader: Reader, place: Place, steps: dict[tuple[str, int], Step], what: str) -> Line:
    line = Line()
    seen: set[tuple[str, int]] = set()
    own = "model" if steps is MODEL_STEPS else "clip"
    while (fed := source(reader, place)) is not None:
        key = (fed.node.class_type, fed.slot)
        if (fed.node.id, fed.slot) in seen or len(seen) >= MAX_NODES:
            fault = "feeds itself" if len(seen) < MAX_NODES else f"lies behind {MAX_NODES} others"
            reader.findings.problem(fed.node, "", f"This node {fault}. Link it to a loader.")
            break
        seen.add((fed.node.id, fed.slot))
        step = steps.get(key)
        if step is None:
            _refuse(reader, fed, place, what)
        # What lies behind a node that cannot be carried may have faults of its own.
        name = step(reader, fed.node, line) if step else own
        if not name or (step is None and not reader.linked(Place(fed.node, own))):
            break
        place = Place(fed.node, name)
    else:
        if not reader.linked(place):
            reader.findings.problem(place.node, place.name, f"No {what} is linked here. Link one.")
    line.loras.reverse()
    return line


def _refuse(reader: Reader, fed: Feed, place: Place, what: str) -> None:
    if fed.node.class_type in PARTS:
        reader.findings.problem(fed.node, "", NOT_WHOLE)
        return
    reader.findings.problem(
        fed.node,
        "",
        f"It changes or makes the {what} for `{place.name}` of node {place.node.label}, and the farm has nothing like "
        f"it. Link the {what} past it, from a node that the farm knows: {KNOWN}.",
    )


# --- what nodes add ---


def _checkpoint(reader: Reader, node: Node, line: Line) -> str:
    file = reader.text(Place(node, CHECKPOINTS[node.class_type]))
    if file:
        line.checkpoint = node, file
    elif file is not None or not node.inputs.get(CHECKPOINTS[node.class_type]):
        reader.findings.problem(node, CHECKPOINTS[node.class_type], "No file is named here. Choose a checkpoint.")
    return ""


def _lora(strength: str) -> Step:
    def step(reader: Reader, node: Node, line: Line) -> str:
        file = reader.text(Place(node, "lora_name"), "")
        weight = reader.number(Place(node, strength), 1.0)
        if file and weight is not None:
            line.loras.append(Loader(node, file, float(weight)))
        return "clip" if strength == "strength_clip" else "model"

    return step


def _last_layer(reader: Reader, node: Node, line: Line) -> str:
    layer = reader.number(Place(node, "stop_at_clip_layer"), -1, whole=True)
    # Of several, the one nearest the prompt acts last.
    if layer is not None and line.clip_skip is None:
        line.clip_skip = node, int(layer)
    return "clip"


def _differential(reader: Reader, node: Node, line: Line) -> str:
    strength = reader.number(Place(node, "strength"), 1.0)
    if strength != 1.0:
        reader.findings.problem(node, "strength", "The farm's differential diffusion has the strength 1. Set it to 1.")
    line.differential = node
    return "model"


def _motion(read: Callable[[Reader, Node], Motion]) -> Step:
    def step(reader: Reader, node: Node, line: Line) -> str:
        if line.motion is not None:
            reader.findings.problem(
                node, "", "A second motion module lies on the same model; the farm takes one. Take one of them out."
            )
        line.motion = line.motion or read(reader, node)
        return "model"

    return step


_CHECKPOINT_STEPS: dict[str, Step] = dict.fromkeys(CHECKPOINTS, _checkpoint)
MODEL_STEPS: dict[tuple[str, int], Step] = {
    **{(name, 0): step for name, step in _CHECKPOINT_STEPS.items()},
    ("LoraLoader", 0): _lora("strength_model"),
    ("LoraLoaderModelOnly", 0): _lora("strength_model"),
    ("DifferentialDiffusion", 0): _differential,
    ("ADE_UseEvolvedSampling", 0): _motion(use_evolved),
    ("ADE_AnimateDiffLoaderGen1", 0): _motion(legacy_motion),
    ("ADE_AnimateDiffLoaderWithContext", 0): _motion(legacy_motion),
}
"""Class and output slot of what may lie on the way of a model."""
KNOWN = ", ".join(sorted({name for name, _ in MODEL_STEPS}))
"""For sentences."""
CLIP_STEPS: dict[tuple[str, int], Step] = {
    **{(name, 1): step for name, step in _CHECKPOINT_STEPS.items()},
    ("LoraLoader", 1): _lora("strength_clip"),
    ("CLIPSetLastLayer", 0): _last_layer,
}
"""The same for a text encoder."""
