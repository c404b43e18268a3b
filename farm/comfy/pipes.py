"""Pipes: bundles of model, encoder, VAE, prompts and so on, taken apart down to the inputs that were bundled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from farm.comfy.reader import Feed, Place, Reader
from farm.comfy.workflow import Node

Parts = Mapping[str, Place]
"""Part -> the input that it comes from."""

BASIC = ("model", "clip", "vae", "positive", "negative")
DETECTORS = ("bbox_detector", "sam_model_opt", "segm_detector_opt")
DETAILER = (*BASIC, *DETECTORS, "detailer_hook")


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


@dataclass(frozen=True)
class PipeNode:
    """A node that gives a pipe."""

    base: str = ""
    """Input with the pipe that it begins with; empty: none."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Part -> the node's own input for it."""


_DETECTING = _same(*DETECTORS, "detailer_hook", "wildcard")
PIPES: dict[tuple[str, int], PipeNode] = {
    ("ToBasicPipe", 0): PipeNode(parts=_same(*BASIC)),
    ("EditBasicPipe", 0): PipeNode("basic_pipe", _same(*BASIC)),
    ("FromBasicPipe_v2", 0): PipeNode("basic_pipe"),
    ("ToDetailerPipe", 0): PipeNode(parts=_same(*BASIC) | _DETECTING),
    ("BasicPipeToDetailerPipe", 0): PipeNode("basic_pipe", _DETECTING),
    ("EditDetailerPipe", 0): PipeNode(
        "detailer_pipe",
        _same(*BASIC, "wildcard", "detailer_hook", "bbox_detector")
        | {"sam_model_opt": "sam_model", "segm_detector_opt": "segm_detector"},
    ),
    ("FromDetailerPipe_v2", 0): PipeNode("detailer_pipe"),
    ("DetailerPipeToBasicPipe", 0): PipeNode("detailer_pipe"),
    # Detailers hand their pipes on.
    ("MaskDetailerPipe", 3): PipeNode("basic_pipe"),
    ("MaskDetailerPipe", 4): PipeNode("refiner_basic_pipe_opt"),
    ("DetailerForEachPipe", 2): PipeNode("basic_pipe"),
    ("DetailerForEachPipeForAnimateDiff", 2): PipeNode("basic_pipe"),
    ("FaceDetailerPipe", 4): PipeNode("detailer_pipe"),
    ("FaceDetailer", 4): PipeNode(parts=_same(*BASIC) | _DETECTING),
}
"""Class and output slot -> what the pipe is made of."""

UNPACKED: dict[str, tuple[str, tuple[str, ...]]] = {
    "FromBasicPipe": ("basic_pipe", BASIC),
    "FromBasicPipe_v2": ("basic_pipe", ("", *BASIC)),
    "FromDetailerPipe": ("detailer_pipe", DETAILER),
    "FromDetailerPipe_v2": ("detailer_pipe", ("", *DETAILER)),
}
"""Nodes that take a pipe apart: class -> its input, and the part at each output slot."""


def parts_of(reader: Reader, place: Place) -> Parts | None:
    """What is in the pipe that feeds an input; None, with a problem told, if that cannot be known."""
    fed = reader.feed(place)
    if fed is None:
        if not reader.linked(place):
            reader.findings.problem(place.node, place.name, "Nothing is linked here. Link a pipe.")
        return None
    with reader.inside(fed.node) as fresh:
        return _parts(reader, place, fed) if fresh else None


def _parts(reader: Reader, place: Place, fed: Feed) -> Parts | None:
    spec = PIPES.get((fed.node.class_type, fed.slot))
    if spec is None:
        reader.findings.problem(
            fed.node,
            "",
            f"It makes the pipe for `{place.name}` of node {place.node.label}, and the farm does not know how. Make "
            f"the pipe with ToBasicPipe, ToDetailerPipe or BasicPipeToDetailerPipe.",
        )
        return None
    reader.findings.carry(fed.node, "nothing: it bundles what others give")
    found: dict[str, Place] = {}
    if spec.base:
        base = parts_of(reader, Place(fed.node, spec.base))
        if base is None:
            return None
        found |= base
    return found | own_parts(fed.node, spec.parts)


def own_parts(node: Node, names: Mapping[str, str]) -> dict[str, Place]:
    """The parts that a node gives itself: those inputs that are there."""
    return {part: Place(node, name) for part, name in names.items() if node.inputs.get(name) not in (None, "")}


def source(reader: Reader, place: Place) -> Feed | None:
    """The node that makes what feeds an input, behind reroutes and pipes; None if there is none, or none is found."""
    seen: set[tuple[str, int]] = set()
    while True:
        fed = reader.feed(place)
        if fed is None or fed.node.class_type not in UNPACKED:
            return fed
        pipe, names = UNPACKED[fed.node.class_type]
        part = names[fed.slot] if 0 <= fed.slot < len(names) else ""
        if not part:
            return fed
        if (fed.node.id, fed.slot) in seen:
            reader.findings.problem(fed.node, pipe, "This pipe is made of itself. Link it to a source.")
            return None
        seen.add((fed.node.id, fed.slot))
        parts = parts_of(reader, Place(fed.node, pipe))
        if parts is None:
            return None
        reader.findings.carry(fed.node, "nothing: it takes a pipe apart")
        if part not in parts:
            reader.findings.problem(fed.node, pipe, f"There is no `{part}` in this pipe. Link one where it is made.")
            return None
        place = parts[part]
