"""SEGS: where they come from, which are kept, and what ControlNets they carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from farm.comfy.detectors import DETECTORS, Detection
from farm.comfy.hooks import SEGS_FILTERS, Found, filter_of
from farm.comfy.pictures import FileUse, loaded, mask_of
from farm.comfy.pipes import source
from farm.comfy.reader import Feed, Place, Reader
from farm.comfy.workflow import Node, cut

Value = tuple[Place, Any]
"""A parameter's value, and the input that it comes from."""


@dataclass
class Net:
    """A ControlNet on SEGS."""

    node: Node
    file: tuple[Place, str]
    values: dict[str, Any]
    image: FileUse | None = None


@dataclass
class SegsSource:
    """SEGS of one origin."""

    node: Node
    """Makes them."""
    mask: FileUse | None = None
    detection: Detection | None = None
    values: dict[str, Value] = field(default_factory=dict)
    """Parameters of the detailer that are said where SEGS are made."""
    filters: list[Found] = field(default_factory=list)
    nets: list[Net] = field(default_factory=list)


CONCATS = ("ImpactSEGSConcat", "SEGSConcat")
NETS = ("ImpactControlNetApplySEGS", "ControlNetApplySEGS", "ImpactControlNetApplyAdvancedSEGS")
CANNY = ("Canny_Preprocessor_Provider_for_SEGS //Inspire", "Canny_Preprocessor_Provider_for_SEGS")
REASONS: dict[str, str] = {
    "ImpactMakeTileSEGS": "The farm makes no tiles. Give a mask for each tile.",
    "ImpactSEGSMerge": "The farm does not merge SEGS. Give one mask of all of them.",
    "ImpactAssignSEGS": "The farm does not run it.",
    "IPAdapterApplySEGS": "Name the IP-Adapter in the job instead: --set segments.NAME.image_prompts=…",
}


def segs_of(reader: Reader, place: Place) -> list[SegsSource]:
    """Where the SEGS that feed an input come from, in their order; fewer, with problems told, than can be carried."""
    fed = source(reader, place)
    if fed is None:
        if not reader.linked(place):
            reader.findings.problem(place.node, place.name, "No SEGS are linked here. Link some.")
        return []
    with reader.inside(fed.node) as fresh:
        return _segs(reader, fed, place) if fresh else []


def _segs(reader: Reader, fed: Feed, place: Place) -> list[SegsSource]:
    node = fed.node
    if node.class_type in MASKS and fed.slot == 0:
        return MASKS[node.class_type](reader, node)
    if node.class_type in DETECTORS and fed.slot == 0:
        detection = DETECTORS[node.class_type](reader, node)
        reader.findings.carry(node, "segments that a detector finds")
        return [SegsSource(node, detection=detection, values=dict(detection.values), filters=list(detection.filters))]
    if node.class_type in SEGS_FILTERS:
        return _filtered(reader, fed)
    if node.class_type in CONCATS:
        return _joined(reader, node)
    if node.class_type in NETS:
        return _with_net(reader, node)
    reason = REASONS.get(node.class_type, "The farm does not run it.")
    reader.findings.problem(
        node,
        "",
        f"It makes `{place.name}` of node {place.node.label}. {reason} Make SEGS with {', '.join(MASKS)} or a "
        f"detector, or save them as a SEGS document and submit that: `farm job submit --segs`.",
    )
    return []


def _of_mask(note: str) -> Callable[[Reader, Node], list[SegsSource]]:
    def made(reader: Reader, node: Node) -> list[SegsSource]:
        if reader.flag(Place(node, "combined"), False):
            reader.findings.problem(
                node, "combined", "The farm makes a segment for each area of a mask, never one of all. Set it to false."
            )
        values: dict[str, Value] = {}
        for name, default in (("crop_factor", 3.0), ("drop_size", 10)):
            place = Place(node, name)
            number = reader.number(place, default, whole=name == "drop_size")
            if number is not None:
                values[name] = place, number
        for name in ("bbox_fill", "contour_fill"):
            flag = reader.flag(Place(node, name), False)
            if flag is not None:
                values[name] = Place(node, name), flag
        if note:
            reader.findings.note(node, "", note)
        reader.findings.carry(node, "the segments of a mask")
        return [SegsSource(node, mask=mask_of(reader, Place(node, "mask")), values=values)]

    return made


MASKS: dict[str, Callable[[Reader, Node], list[SegsSource]]] = {
    "MaskToSEGS": _of_mask(
        "With a mask per frame, each frame has its own; this node would lay the areas of all masks over every frame."
    ),
    "MaskToSEGS_for_AnimateDiff": _of_mask(""),
}
"""Nodes that make SEGS of a mask."""


def _filtered(reader: Reader, fed: Feed) -> list[SegsSource]:
    node = fed.node
    found = segs_of(reader, Place(node, "segs"))
    if fed.slot != 0:
        reader.findings.problem(
            node,
            "",
            "Its second output is used, the SEGS that the filter drops; the farm keeps the first. Turn it round.",
        )
        return found
    hook = filter_of(reader, node)
    if hook is None:
        return found
    reader.findings.carry(node, f"hook {hook['kind']}")
    if len(found) > 1 and hook["kind"] == "ordered_filter":
        reader.findings.problem(
            node,
            "segs",
            "It sorts SEGS of several origins together; the farm sorts each by itself. Filter before joining.",
        )
    for one in found:
        one.filters.append(Found(node, hook))
    return found


def _joined(reader: Reader, node: Node) -> list[SegsSource]:
    names = sorted((name for name, _ in node.links() if name.startswith("segs")), key=_numbered)
    reader.findings.carry(node, "segments of several sources, pasted in this order")
    return [one for name in names for one in segs_of(reader, Place(node, name))]


def _numbered(name: str) -> tuple[int, str]:
    digits = name.removeprefix("segs")
    return (int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 9 else 0, name)


def _with_net(reader: Reader, node: Node) -> list[SegsSource]:
    found = segs_of(reader, Place(node, "segs"))
    net = _net(reader, node)
    if net is not None:
        reader.findings.carry(node, "a ControlNet of the segment")
        for one in found:
            one.nets.append(net)
    return found


def _net(reader: Reader, node: Node) -> Net | None:
    fed = source(reader, Place(node, "control_net"))
    if fed is None or fed.node.class_type != "ControlNetLoader":
        at = fed.node if fed else node
        reader.findings.problem(at, "", "The farm knows ControlNets by their files. Load one with ControlNetLoader.")
        return None
    named = Place(fed.node, "control_net_name")
    file = reader.text(named, "")
    if not file:
        return None
    reader.findings.carry(fed.node, "the model of a ControlNet")
    values: dict[str, Any] = {}
    for name in ("strength", "start_percent", "end_percent"):
        if name in node.inputs and (number := reader.number(Place(node, name))) is not None:
            values[name] = number
    if reader.linked(Place(node, "vae")):
        reader.findings.problem(node, "vae", "The farm's ControlNets take pictures, not latents. Unlink the VAE.")
    net = Net(node, (named, file), values)
    _pictures(reader, node, net)
    return net


def _pictures(reader: Reader, node: Node, net: Net) -> None:
    given = source(reader, Place(node, "control_image"))
    if given is not None:
        net.image = loaded(reader, given)
        if net.image is None:
            reader.findings.problem(
                given.node,
                "",
                f"It makes the control picture of node {node.label}, and the farm does not run it. Save its pictures "
                f"and load them with LoadImage or VHS_LoadVideo.",
            )
        return
    made = source(reader, Place(node, "segs_preprocessor"))
    if made is None:
        return
    if made.node.class_type not in CANNY:
        reader.findings.problem(
            made.node, "", f"The farm does not have the preprocessor {cut(made.node.class_type)!r}. It has: {CANNY[0]}."
        )
        return
    reader.findings.carry(made.node, "preprocessor canny")
    canny: dict[str, Any] = {"kind": "canny"}
    for name in ("low_threshold", "high_threshold"):
        level = reader.number(Place(made.node, name))
        if level is not None:
            canny[name] = level / 255 if level > 1 else level
    net.values["preprocessor"] = canny
