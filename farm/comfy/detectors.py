"""Detectors: nodes that find things in pictures, as the `detect` block of a segment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from farm.comfy.hooks import FILTERS, Found, hooks_of
from farm.comfy.pipes import own_parts, parts_of, source
from farm.comfy.reader import Place, Reader
from farm.comfy.workflow import Node, cut

PROVIDERS = {"UltralyticsDetectorProvider": "model_name", "ONNXDetectorProvider": "model_name"}
"""Nodes that load detectors -> their input with the file."""
REASONS = {
    "MMDetDetectorProvider": "The farm runs no MMDet models. Use UltralyticsDetectorProvider.",
    "CLIPSegDetectorProvider": "The farm finds nothing by text. Use UltralyticsDetectorProvider.",
}
MASKING_MODES = {
    "Pivot SEGS": "pivot_segs",
    "Combine neighboring frames": "combine_neighboring_frames",
    "Don't combine": "dont_combine",
}
PIVOTS = {"Combined mask": "combined_mask", "1st frame mask": "first_frame_mask"}


@dataclass
class Detection:
    """What is looked for, and how."""

    node: Node
    pictures: Place
    """Where it looks."""
    detector: tuple[Place, str] | None = None
    sam: tuple[Place, str] | None = None
    fields: dict[str, tuple[Place, Any]] = field(default_factory=dict)
    """Of the `detect` block."""
    values: dict[str, tuple[Place, Any]] = field(default_factory=dict)
    """Parameters of the detailer: `crop_factor`, `drop_size`."""
    filters: list[Found] = field(default_factory=list)


def bbox_detection(reader: Reader, node: Node) -> Detection:
    """Of BboxDetectorSEGS and SegmDetectorSEGS: one detector, no more."""
    found = Detection(node, Place(node, "image"))
    name = "segm_detector" if node.class_type.startswith("Segm") else "bbox_detector"
    found.detector = _file(reader, Place(node, name))
    _numbers(reader, node, found, "threshold", "dilation", "crop_factor")
    labels = reader.text(Place(node, "labels"), "all")
    if labels is not None:
        wanted = [label.strip() for label in labels.split(",") if label.strip()]
        found.fields["labels"] = Place(node, "labels"), wanted or ["all"]
    found.filters = [hook for hook in hooks_of(reader, Place(node, "detailer_hook")) if hook.hook["kind"] in FILTERS]
    return found


def simple_detection(reader: Reader, node: Node) -> Detection:
    """Of the simple detectors: boxes, narrowed by SAM if there is one."""
    pictures = "image_frames" if "image_frames" in node.inputs else "image"
    parts = (
        parts_of(reader, Place(node, "detailer_pipe"))
        if node.class_type.endswith("Pipe")
        else own_parts(node, {name: name for name in ("bbox_detector", "sam_model_opt", "segm_detector_opt")})
    )
    found = Detection(node, Place(node, pictures))
    _detectors(reader, node, parts or {}, found)
    _numbers(reader, node, found, "bbox_threshold", "bbox_dilation", "crop_factor")
    _sam(reader, node, found, ("sub_threshold", "sub_bbox_expansion", "sub_dilation"))
    if reader.number(Place(node, "post_dilation"), 0) not in (0, None):
        reader.findings.problem(
            node, "post_dilation", "The farm has it not. Set it to 0, and widen the detector's own."
        )
    for name, choices in (("masking_mode", MASKING_MODES), ("segs_pivot", PIVOTS)):
        text = reader.text(Place(node, name)) if name in node.inputs else None
        if text is not None and text in choices:
            found.fields[name] = Place(node, name), choices[text]
        elif text is not None:
            reader.findings.problem(node, name, f"There is no {cut(text)!r}. Choose one of: {', '.join(choices)}.")
    return found


def face_detection(reader: Reader, node: Node, parts: dict[str, Place]) -> Detection:
    """Of a face detailer: what it detects with comes in a pipe."""
    found = Detection(node, Place(node, "image"))
    _detectors(reader, node, parts, found)
    _numbers(reader, node, found, "bbox_threshold", "bbox_dilation", "bbox_crop_factor")
    _sam(reader, node, found, ("sam_threshold", "sam_bbox_expansion", "sam_dilation"))
    return found


DETECTORS: dict[str, Callable[[Reader, Node], Detection]] = {
    "BboxDetectorSEGS": bbox_detection,
    "SegmDetectorSEGS": bbox_detection,
    "ImpactSimpleDetectorSEGS": simple_detection,
    "ImpactSimpleDetectorSEGSPipe": simple_detection,
    "ImpactSimpleDetectorSEGS_for_AD": simple_detection,
}
"""Nodes that make SEGS of pictures."""


def _numbers(reader: Reader, node: Node, found: Detection, threshold: str, dilation: str, crop_factor: str) -> None:
    for field_name, name, default, whole in (("threshold", threshold, 0.5, False), ("dilation", dilation, 10, True)):
        value = reader.number(Place(node, name), default, whole=whole)
        if value is not None:
            found.fields[field_name] = Place(node, name), value
    for field_name, name, default, whole in (
        ("crop_factor", crop_factor, 3.0, False),
        ("drop_size", "drop_size", 10, True),
    ):
        value = reader.number(Place(node, name), default, whole=whole)
        if value is not None:
            found.values[field_name] = Place(node, name), value


def _detectors(reader: Reader, node: Node, parts: dict[str, Place] | Any, found: Detection) -> None:  # noqa: ANN401 - any mapping
    if "bbox_detector" not in parts:
        reader.findings.problem(
            node, "bbox_detector", "No detector is linked here. Link an UltralyticsDetectorProvider."
        )
    else:
        found.detector = _file(reader, parts["bbox_detector"])
    if "segm_detector_opt" in parts and reader.linked(parts["segm_detector_opt"]):
        reader.findings.problem(
            parts["segm_detector_opt"].node,
            parts["segm_detector_opt"].name,
            "The farm does not lay a second detector over the first. Unlink it; a detector that gives masks (segm) may "
            "stand in place of the first one.",
        )
    sam = source(reader, parts["sam_model_opt"]) if "sam_model_opt" in parts else None
    if sam is None:
        return
    if sam.node.class_type != "SAMLoader":
        reader.findings.problem(sam.node, "", "The farm knows a SAM by its file. Load it with SAMLoader.")
        return
    place = Place(sam.node, "model_name")
    file = reader.text(place, "")
    reader.findings.carry(sam.node, "the SAM that draws shapes in boxes")
    found.sam = (place, file) if file else None


def _sam(reader: Reader, node: Node, found: Detection, names: tuple[str, str, str]) -> None:
    """What is said of SAM, where there is one: inputs with threshold, growth of the box, growth of its masks."""
    if found.sam is None:
        return
    defaults = (("sam_threshold", 0.93, False), ("sam_bbox_expansion", 0, True), ("sam_dilation", 0, True))
    for (field_name, default, whole), name in zip(defaults, names, strict=True):
        value = reader.number(Place(node, name), default, whole=whole)
        if value is not None:
            found.fields[field_name] = Place(node, name), value
    hint = reader.text(Place(node, "sam_detection_hint"), "center-1")
    if hint not in ("center-1", None):
        reader.findings.problem(
            node, "sam_detection_hint", f"It is {cut(str(hint))!r}; the farm points at the center. Set it to center-1."
        )


def _file(reader: Reader, place: Place) -> tuple[Place, str] | None:
    fed = source(reader, place)
    if fed is None:
        if not reader.linked(place):
            reader.findings.problem(place.node, place.name, "No detector is linked here. Link one.")
        return None
    name = PROVIDERS.get(fed.node.class_type)
    if name is None:
        reason = REASONS.get(fed.node.class_type, "The farm does not know it. Use UltralyticsDetectorProvider.")
        reader.findings.problem(fed.node, "", f"It gives `{place.name}` of node {place.node.label}. {reason}")
        return None
    file = reader.text(Place(fed.node, name), "")
    reader.findings.carry(fed.node, "the detector")
    return (Place(fed.node, name), file) if file else None
