"""What a detailer draws with: checkpoint, LoRAs, VAE, prompts, motion; and its refiner."""

from __future__ import annotations

from dataclasses import dataclass, field

from farm.comfy.lines import CHECKPOINTS, Line, Loader, clip_line, model_line
from farm.comfy.pipes import parts_of, source
from farm.comfy.prompts import Prompt, prompt_of
from farm.comfy.reader import Place, Reader
from farm.comfy.workflow import Node, cut


@dataclass(frozen=True)
class Lora:
    """A LoRA over network and encoder."""

    place: Place
    """Input with its file."""
    file: str
    weight: float
    clip_weight: float


@dataclass
class Drawn:
    """As far as it could be followed."""

    model: Line = field(default_factory=Line)
    loras: list[Lora] = field(default_factory=list)
    """Nearest the checkpoint first."""
    positive: Prompt = field(default_factory=Prompt)
    negative: Prompt = field(default_factory=Prompt)
    clip_skip: tuple[Node, int] | None = None
    vae: tuple[Place, str] | None = None
    """None: the checkpoint's own."""


def drawn(reader: Reader, node: Node, parts: dict[str, Place]) -> Drawn:
    """What is in a detailer's pipe."""
    made = Drawn()
    missing = [name for name in ("model", "vae", "positive", "negative") if name not in parts]
    if parts and missing:
        reader.findings.problem(node, "", f"Its pipe has no {', '.join(missing)}. Link {' and '.join(missing)} there.")
    if "model" in parts:
        made.model = model_line(reader, parts["model"])
    if "positive" in parts:
        made.positive = _prompt(reader, parts["positive"])
    if "negative" in parts:
        made.negative = _prompt(reader, parts["negative"])
    clip = _encoder(reader, made, [*made.positive.clips, *made.negative.clips])
    made.clip_skip = clip.clip_skip
    made.loras = _together(made.model.loras, clip.loras)
    if "vae" in parts:
        made.vae = _vae(reader, parts["vae"], made.model)
    _tell(reader, made)
    return made


def refined(reader: Reader, place: Place, base: Drawn) -> tuple[Place, str] | None:
    """The checkpoint of a refiner's pipe; its prompts must be those of the base, for the farm has one of each."""
    parts = parts_of(reader, place)
    if parts is None:
        return None
    line = model_line(reader, parts["model"]) if "model" in parts else Line()
    for loader in line.loras:
        reader.findings.problem(loader.node, "", "It lies on the refiner, where the farm lays no LoRAs. Take it out.")
    if line.motion is not None:
        reader.findings.problem(line.motion.node, "", "It lies on the refiner, which the farm runs without motion.")
    for name, own in (("positive", base.positive), ("negative", base.negative)):
        said = _prompt(reader, parts[name]).text if name in parts else None
        if said is not None and own.text is not None and said[1] != own.text[1]:
            reader.findings.problem(
                said[0].node,
                said[0].name,
                f"The refiner is told another text than the model; the farm has one "
                f"`{name}` prompt for both. Link the refiner's pipe to the model's text.",
            )
    if line.checkpoint is None:
        return None
    node, file = line.checkpoint
    reader.findings.carry(node, "the refiner")
    return Place(node, CHECKPOINTS[node.class_type]), file


def _prompt(reader: Reader, place: Place) -> Prompt:
    prompt = prompt_of(reader, place)
    if prompt.text is not None:
        reader.findings.carry(prompt.text[0].node, f"the {place.name} prompt")
    return prompt


def _encoder(reader: Reader, made: Drawn, clips: list[Place]) -> Line:
    """The one encoder of all prompts."""
    lines = [(place, clip_line(reader, place)) for place in clips]
    for place, line in lines:
        checkpoint, own = line.checkpoint, made.model.checkpoint
        if checkpoint is not None and own is not None and checkpoint[1] != own[1]:
            reader.findings.problem(
                place.node,
                place.name,
                f"Its text encoder is of {cut(checkpoint[1])!r}, the model of {cut(own[1])!r}; the farm's models are "
                f"whole. Link both to one checkpoint.",
            )
        if _what(line) != _what(lines[0][1]):
            reader.findings.problem(
                place.node,
                place.name,
                f"Its text encoder has other LoRAs or another last layer than that of node {lines[0][0].node.label}; "
                f"the farm has one for all prompts of a detailer. Link both to the same.",
            )
    return lines[0][1] if lines else Line()


def _what(line: Line) -> tuple[object, ...]:
    skip = line.clip_skip[1] if line.clip_skip else None
    return skip, tuple((loader.file, loader.strength) for loader in line.loras)


def _together(model: list[Loader], clip: list[Loader]) -> list[Lora]:
    """One entry for each loader: its weight on either way, 0 where it lies on one only."""
    on_clip = {loader.node.id: loader.strength for loader in clip}
    found = [Lora(Place(one.node, "lora_name"), one.file, one.strength, on_clip.pop(one.node.id, 0.0)) for one in model]
    found += [Lora(Place(one.node, "lora_name"), one.file, 0.0, one.strength) for one in clip if one.node.id in on_clip]
    return [lora for lora in found if lora.weight or lora.clip_weight]


def _vae(reader: Reader, place: Place, model: Line) -> tuple[Place, str] | None:
    fed = source(reader, place)
    if fed is None:
        if not reader.linked(place):
            reader.findings.problem(place.node, place.name, "No VAE is linked here. Link one.")
        return None
    node = fed.node
    if node.class_type in CHECKPOINTS and fed.slot == 2:
        file = reader.text(Place(node, CHECKPOINTS[node.class_type]))
        if file is not None and model.checkpoint is not None and file != model.checkpoint[1]:
            reader.findings.problem(
                node, "", "Its VAE is used with another checkpoint's model. Add that VAE by itself and use VAELoader."
            )
        return None
    if node.class_type == "VAELoader" and fed.slot == 0:
        file = reader.text(Place(node, "vae_name"), "")
        reader.findings.carry(node, "the VAE of the job")
        return (Place(node, "vae_name"), file) if file else None
    reader.findings.problem(
        node, "", "It makes the VAE, and the farm does not know how. Use VAELoader, or the checkpoint's."
    )
    return None


def _tell(reader: Reader, made: Drawn) -> None:
    if made.model.checkpoint is not None:
        reader.findings.carry(made.model.checkpoint[0], "the model of the job")
    for lora in made.loras:
        reader.findings.carry(
            lora.place.node, f"a LoRA, {lora.weight:g} over the network, {lora.clip_weight:g} over the text"
        )
    if made.clip_skip is not None:
        reader.findings.carry(made.clip_skip[0], f"clip_skip {made.clip_skip[1]}")
