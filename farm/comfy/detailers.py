"""The detailer nodes: what each has in common with a job of the farm, input by input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from farm.comfy.detectors import face_detection
from farm.comfy.drawing import Drawn, drawn, refined
from farm.comfy.hooks import FILTERS, Found, hooks_of
from farm.comfy.pictures import mask_of
from farm.comfy.pipes import BASIC, DETECTORS, own_parts, parts_of, source
from farm.comfy.reader import Place, Reader
from farm.comfy.segs import SegsSource, Value, segs_of
from farm.comfy.workflow import Node, cut
from farm.domain.detailer import JobType

Kind = Literal["int", "float", "flag", "text"]
Widgets = Mapping[str, tuple[str, Kind]]
"""Parameter of the farm -> the node's input, and what it holds."""


def _named(kind: Kind, *names: str) -> dict[str, tuple[str, Kind]]:
    return {name: (name, kind) for name in names}


SAMPLING: Widgets = {
    **_named("float", "guide_size", "max_size", "cfg", "denoise"),
    **_named("flag", "guide_size_for"),
    **_named("int", "seed", "steps", "feather"),
    **_named("text", "sampler_name", "scheduler"),
}
OPTIONAL: Widgets = _named("float", "refiner_ratio")
REPEATED: Widgets = {**OPTIONAL, **_named("int", "cycle"), **_named("flag", "inpaint_model")}
MASKED: Widgets = {**REPEATED, **_named("flag", "bbox_fill", "contour_fill")}
NOISE_MASK: Widgets = {"mask_mode": ("noise_mask", "flag")}
FACE_OPTIONAL: Widgets = {**REPEATED, **_named("text", "wildcard")}


@dataclass(frozen=True)
class DetailerNode:
    """A class of detailers."""

    job_type: JobType
    finds: Literal["mask", "segs", "faces"]
    """What says where to paint."""
    needed: Widgets
    optional: Widgets
    """Left out: the node's own default, which is the farm's."""
    image: str = "image"
    pipe: str = "basic_pipe"
    """Input with model and prompts; empty: they come in by inputs of their own."""
    outputs: Mapping[int, str] = field(default_factory=dict)
    """Output slot -> the folder of the job that has it."""


_FOR_EACH = DetailerNode(JobType.MASK, "segs", {**SAMPLING, **NOISE_MASK}, FACE_OPTIONAL, outputs={3: "cnet"})
_FACE = DetailerNode(
    JobType.MASK,
    "faces",
    {**SAMPLING, **NOISE_MASK},
    FACE_OPTIONAL,
    pipe="detailer_pipe",
    outputs={1: "cropped_refined", 2: "cropped_enhanced_alpha", 5: "cnet"},
)
DETAILERS: dict[str, DetailerNode] = {
    "MaskDetailerPipe": DetailerNode(
        JobType.MASK,
        "mask",
        {**SAMPLING, **_named("flag", "mask_mode"), **_named("float", "crop_factor"), **_named("int", "drop_size")},
        MASKED,
        outputs={1: "cropped_refined", 2: "cropped_enhanced_alpha"},
    ),
    "DetailerForEachPipeForAnimateDiff": DetailerNode(
        JobType.ANIMATEDIFF, "segs", SAMPLING, OPTIONAL, image="image_frames", outputs={3: "cnet"}
    ),
    "DetailerForEachPipe": _FOR_EACH,
    "DetailerForEach": DetailerNode(JobType.MASK, "segs", {**SAMPLING, **NOISE_MASK}, FACE_OPTIONAL, pipe=""),
    "FaceDetailerPipe": _FACE,
    "FaceDetailer": DetailerNode(
        JobType.MASK, "faces", _FACE.needed, FACE_OPTIONAL, pipe="", outputs={**_FACE.outputs}
    ),
}
"""Class -> what it is on the farm."""
REFUSED: dict[str, str] = {
    "scheduler_func_opt": "The farm has no schedules by nodes; choose one by `scheduler` (it has AYS and GITS).",
}
"""Inputs of detailers that cannot be carried where something is linked."""
TILED = ("tiled_encode", "tiled_decode")
HEEDED = frozenset(
    (
        *(*BASIC, *DETECTORS, *REFUSED, *TILED, "mask", "segs", "wildcard", "detailer_hook", "refiner_basic_pipe_opt"),
        *("noise_mask_feather", "batch_size", "force_inpaint", "inpaint_model", "drop_size", "control_after_generate"),
    )
)
"""Inputs of detailers besides those of their tables; what begins as below belongs to detectors."""
OF_DETECTORS = ("bbox_", "sam_", "segm_", "Select to add")


@dataclass
class Detailed:
    """A detailer node, read."""

    node: Node
    spec: DetailerNode
    values: dict[str, Value]
    drawn: Drawn
    sources: list[SegsSource]
    hooks: list[Found]
    refiner: tuple[Place, str] | None = None
    """Input with the file of the refiner's checkpoint."""
    batch_size: int = 1


def read_detailer(reader: Reader, node: Node) -> Detailed:
    """All that a detailer node is fed with; what cannot be carried is told in the reader's findings."""
    spec = DETAILERS[node.class_type]
    parts = _parts(reader, node, spec)
    values = _values(reader, node, spec, parts)
    made = drawn(reader, node, parts)
    _check_inputs(reader, node, spec)
    hooks = hooks_of(reader, parts.get("detailer_hook", Place(node, "detailer_hook")))
    found = Detailed(node, spec, values, made, _sources(reader, node, spec, parts), hooks)
    if spec.finds == "mask":
        found.batch_size = int(reader.number(Place(node, "batch_size"), 1, whole=True) or 1)
    if reader.linked(Place(node, "refiner_basic_pipe_opt")):
        found.refiner = refined(reader, Place(node, "refiner_basic_pipe_opt"), made)
    _compare(reader, found)
    reader.findings.carry(node, f"a segment of a job of type {spec.job_type.value}")
    return found


def _parts(reader: Reader, node: Node, spec: DetailerNode) -> dict[str, Place]:
    if spec.pipe:
        return dict(parts_of(reader, Place(node, spec.pipe)) or {})
    return own_parts(node, {name: name for name in (*BASIC, *DETECTORS, "detailer_hook", "wildcard")})


def _values(reader: Reader, node: Node, spec: DetailerNode, parts: dict[str, Place]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    if "wildcard" in parts and (text := reader.text(parts["wildcard"])):
        found["wildcard"] = parts["wildcard"], text
    for name, (own, kind) in {**spec.needed, **spec.optional}.items():
        place = Place(node, own)
        if own not in node.inputs:
            if name in spec.needed:
                reader.findings.note(node, own, "It is missing, so the farm's own default is taken.")
            continue
        value = _read(reader, place, kind)
        if value is not None:
            found[name] = place, value
    # Who leaves it out of the API gets 0, whatever the page shows (SPEC 1.1).
    feather = Place(node, "noise_mask_feather")
    value = reader.number(feather, 0, whole=True)
    if value is not None:
        found["noise_mask_feather"] = feather, value
    if spec.finds == "faces":
        found["seed_mode"] = Place(node, "seed"), "per_frame"
    return found


def _read(reader: Reader, place: Place, kind: Kind) -> Any:  # noqa: ANN401 - a parameter's value
    if kind == "flag":
        return reader.flag(place)
    if kind == "text":
        return reader.text(place)
    return reader.number(place, whole=kind == "int")


def _sources(reader: Reader, node: Node, spec: DetailerNode, parts: dict[str, Place]) -> list[SegsSource]:
    if spec.finds == "mask":
        return [SegsSource(node, mask=mask_of(reader, Place(node, "mask")))]
    if spec.finds == "segs":
        return segs_of(reader, Place(node, "segs"))
    detection = face_detection(reader, node, parts)
    return [SegsSource(node, detection=detection, values=detection.values)]


def _check_inputs(reader: Reader, node: Node, spec: DetailerNode) -> None:
    findings = reader.findings
    for name, reason in REFUSED.items():
        if reader.linked(Place(node, name)):
            findings.problem(node, name, f"{reason} Unlink this input.")
    known = {*HEEDED, spec.image, spec.pipe, *(own for own, _ in {**spec.needed, **spec.optional}.values())}
    for name in node.inputs:
        if name not in known and not name.startswith(OF_DETECTORS):
            tell = findings.problem if reader.linked(Place(node, name)) else findings.note
            tell(node, cut(name), "The farm does not know this input, and leaves it out.")
    if spec.finds != "mask" and reader.flag(Place(node, "force_inpaint"), True) is False:
        findings.problem(
            node,
            "force_inpaint",
            "It is off, so that segments as large as guide_size would be left alone; the farm repaints all. Turn it "
            "on, and keep large ones out with a range filter.",
        )
    for name in TILED:
        if reader.flag(Place(node, name), False):
            findings.note(node, name, "The farm works in tiles only where the memory asks for it.")
    if "control_after_generate" in node.inputs:
        findings.note(
            node, "control_after_generate", "It acts on ComfyUI's page only; the seed is the one written here."
        )
    if spec.job_type is JobType.ANIMATEDIFF and reader.flag(Place(node, "inpaint_model"), False):
        findings.note(node, "inpaint_model", "This node does not look at it, and so the job does not either.")


def _compare(reader: Reader, found: Detailed) -> None:
    """What goes together only in some ways."""
    findings, node, spec = reader.findings, found.node, found.spec
    line = found.drawn.model
    moving = spec.job_type is JobType.ANIMATEDIFF
    if line.motion is not None and not moving:
        findings.problem(
            line.motion.node,
            "",
            f"A motion module lies on the model of node {node.label}, which details each frame by itself. Link a model "
            f"without it (EditBasicPipe), or use DetailerForEachPipeForAnimateDiff.",
        )
    if line.motion is None and moving:
        findings.note(node, "", "No motion module lies on its model; the farm's model must then have one of its own.")
    feather = found.values.get("noise_mask_feather")
    if line.differential is not None:
        if feather is not None and feather[1] > 0:
            findings.carry(line.differential, "differential diffusion, which `noise_mask_feather` turns on")
        else:
            findings.problem(
                line.differential,
                "",
                f"The farm turns it on by `noise_mask_feather` alone. Set that of node {node.label}.",
            )
    for hook in found.hooks:
        if hook.hook["kind"] in FILTERS and spec.finds != "faces":
            findings.note(hook.node, "", f"Node {node.label} would never call this filter; the farm does.")
        elif moving and hook.hook["kind"] != "preview":
            findings.note(hook.node, "", f"Node {node.label} would never call this hook while sampling; the farm does.")
    frames = source(reader, Place(node, spec.image))
    for detection in (one.detection for one in found.sources if one.detection is not None):
        if source(reader, detection.pictures) != frames:
            findings.note(
                detection.node, detection.pictures.name, "The farm looks for it in the clip, whatever is here."
            )
    if frames is not None and frames.node.class_type in DETAILERS and any(one.detection for one in found.sources):
        findings.note(node, spec.image, "The farm looks for it in the clip as it came, before any detailer.")
    if len(found.sources) > 1 and not moving:
        findings.note(
            node, "seed", "ComfyUI counts seeds on over joined SEGS; the farm begins anew with each source of them."
        )
