"""Detailer hooks: provider nodes as entries of `hooks`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from farm.comfy.pipes import source
from farm.comfy.reader import Place, Reader
from farm.comfy.workflow import Node, cut

Made = dict[str, Any]
FILTERS = ("label_filter", "ordered_filter", "range_filter")


@dataclass(frozen=True)
class Found:
    """A hook, and the node that provides it."""

    node: Node
    hook: Made


def hooks_of(reader: Reader, place: Place) -> list[Found]:
    """The hooks that feed an input, in the order in which they act; none if nothing is linked."""
    fed = source(reader, place)
    if fed is None:
        return []
    node = fed.node
    with reader.inside(node) as fresh:
        if not fresh:
            return []
        if node.class_type == "DetailerHookCombine":
            reader.findings.carry(node, "hooks one after the other")
            return [hook for name in ("hook1", "hook2") for hook in hooks_of(reader, Place(node, name))]
        made = PROVIDERS.get(node.class_type)
        if made is None:
            reader.findings.problem(
                node,
                "",
                f"The farm has no such hook. Unlink it from `{place.name}` of node {place.node.label}, or install a "
                f"hook of your own on the farm (farm.hooks). It has: {', '.join(PROVIDERS)}.",
            )
            return []
        hook = made(reader, node)
    if hook is None:
        return []
    reader.findings.carry(node, f"hook {hook['kind']}")
    return [Found(node, hook)]


def filter_of(reader: Reader, node: Node) -> Made | None:
    """The filter that a node on SEGS stands for; None, with a problem told, if it cannot be."""
    return SEGS_FILTERS[node.class_type](reader, node)


def _values(reader: Reader, node: Node, kind: str, fields: dict[str, tuple[str, str]]) -> Made | None:
    """Fields of a hook from a node's inputs: field -> the input's name, and what it is."""
    found: Made = {"kind": kind}
    for field, (name, what) in fields.items():
        place = Place(node, name)
        if name not in node.inputs:
            continue
        value = reader.text(place) if what == "text" else reader.number(place, whole=what == "int")
        if value is None:
            return None
        found[field] = value
    return found


def _plain(kind: str, **fields: tuple[str, str]) -> Callable[[Reader, Node], Made | None]:
    def made(reader: Reader, node: Node) -> Made | None:
        return _values(reader, node, kind, fields)

    return made


def _noise_injection(reader: Reader, node: Node) -> Made | None:
    origin = reader.text(Place(node, "source"), "CPU")
    if origin is not None and origin != "CPU":
        reader.findings.note(node, "source", "The farm draws this noise on the CPU, so that all workers draw the same.")
    return _values(
        reader,
        node,
        "noise_injection",
        {
            "seed": ("seed", "int"),
            "start_strength": ("start_strength", "float"),
            "end_strength": ("end_strength", "float"),
            "schedule_for_cycle": ("schedule_for_cycle", "text"),
        },
    )


def _unsampler(reader: Reader, node: Node) -> Made | None:
    reader.findings.note(
        node, "model", "The farm unsamples with the model and the prompts of the detailer, whatever is linked here."
    )
    hook = _values(
        reader,
        node,
        "unsampler",
        {
            **{name: (name, "int") for name in ("steps", "start_end_at_step", "end_end_at_step")},
            "cfg": ("cfg", "float"),
            **{name: (name, "text") for name in ("sampler_name", "scheduler", "schedule_for_cycle")},
        },
    )
    normalize = reader.text(Place(node, "normalize"), "disable")
    return None if hook is None or normalize is None else {**hook, "normalize": normalize == "enable"}


def _label(reader: Reader, node: Node) -> Made | None:
    return _values(reader, node, "label_filter", {"labels": ("labels", "text")})


def _target(reader: Reader, node: Node) -> str | None:
    """`area(=w*h)` and the like, without what explains them."""
    text = reader.text(Place(node, "target"), "area")
    return None if text is None else cut(text).partition("(")[0].strip()


def _choice(reader: Reader, place: Place, yes: str, no: str) -> str | None:
    """One of two words, as a switch or written out."""
    value = reader.value(place)
    if value in (yes, no):
        return str(value)
    chosen = reader.flag(place, True)
    return None if chosen is None else yes if chosen else no


def _ordered(reader: Reader, node: Node) -> Made | None:
    hook = _values(reader, node, "ordered_filter", {name: (name, "int") for name in ("take_start", "take_count")})
    target, order = _target(reader, node), _choice(reader, Place(node, "order"), "descending", "ascending")
    return None if hook is None or target is None or order is None else {**hook, "target": target, "order": order}


def _range(reader: Reader, node: Node) -> Made | None:
    hook = _values(reader, node, "range_filter", {name: (name, "float") for name in ("min_value", "max_value")})
    target, mode = _target(reader, node), _choice(reader, Place(node, "mode"), "inside", "outside")
    return None if hook is None or target is None or mode is None else {**hook, "target": target, "mode": mode}


PROVIDERS: dict[str, Callable[[Reader, Node], Made | None]] = {
    "NoiseInjectionDetailerHookProvider": _noise_injection,
    "VariationNoiseDetailerHookProvider": _plain(
        "variation_noise", variation_seed=("seed", "int"), variation_strength=("strength", "float")
    ),
    "UnsamplerDetailerHookProvider": _unsampler,
    "DenoiseSchedulerDetailerHookProvider": _plain("denoise_schedule", target_denoise=("target_denoise", "float")),
    "PreviewDetailerHookProvider": _plain("preview", quality=("quality", "int")),
    "SEGSLabelFilterDetailerHookProvider": _label,
    "SEGSOrderedFilterDetailerHookProvider": _ordered,
    "SEGSRangeFilterDetailerHookProvider": _range,
}
"""Class -> the hook that it provides."""
SEGS_FILTERS: dict[str, Callable[[Reader, Node], Made | None]] = {
    "ImpactSEGSLabelFilter": _label,
    "ImpactSEGSOrderedFilter": _ordered,
    "ImpactSEGSRangeFilter": _range,
}
"""Nodes on SEGS that filter them; their first output is what is kept."""
