"""Values and links of nodes, followed through what only hands them on: reroutes, primitives, pipes taken apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from farm.comfy.findings import Findings
from farm.comfy.workflow import Link, Node, Workflow, cut, kind_of, whole

DEEPEST = 48
"""Nodes inside each other (pipes of pipes, prompts of prompts) that are followed."""
REROUTES = frozenset({"Reroute", "Reroute (rgthree)", "ReroutePrimitive|pysssss"})
PRIMITIVES: dict[str, str] = {
    **dict.fromkeys(("PrimitiveInt", "PrimitiveFloat", "PrimitiveBoolean"), "value"),
    **dict.fromkeys(("PrimitiveString", "PrimitiveStringMultiline"), "value"),
    **dict.fromkeys(("ImpactInt", "ImpactFloat", "ImpactBoolean"), "value"),
    **dict.fromkeys(("INTConstant", "FloatConstant", "BOOLConstant"), "value"),
    **dict.fromkeys(("StringConstant", "StringConstantMultiline", "String Literal"), "string"),
    **dict.fromkeys(("easy int", "easy float", "easy string", "easy boolean"), "value"),
    **dict.fromkeys(("Text Multiline", "CR Text"), "text"),
    **dict.fromkeys(("Seed (rgthree)", "easy seed"), "seed"),
}
"""Nodes that are one value: class -> the input that holds it."""
WORDS = {
    **dict.fromkeys(("true", "enabled", "enable", "bbox", "mask bbox", "masked only"), True),
    **dict.fromkeys(("false", "disabled", "disable", "crop_region", "crop region", "whole"), False),
}
"""What older versions wrote for yes and no."""

LARGEST = 2**64
"""No number of a workflow is larger; seeds are smaller."""
MISSING: Any = object()


@dataclass(frozen=True)
class Place:
    """An input of a node."""

    node: Node
    name: str


@dataclass(frozen=True)
class Feed:
    """An output that feeds an input."""

    node: Node
    slot: int


@dataclass
class Reader:
    """Follows one workflow; faults go to `findings`, and whatever cannot be followed is None."""

    workflow: Workflow
    findings: Findings = field(default_factory=Findings)
    files: Mapping[str, str] = field(default_factory=dict)
    """Id of a node -> address that the user gives for what it loads, or for its mask; empty id: for the one mask."""
    used: set[str] = field(default_factory=set)
    """Ids of `files` that were asked for."""
    unnamed: list[Node] = field(default_factory=list)
    """Nodes that took the address without an id."""
    _inside: list[str] = field(default_factory=list)

    @contextmanager
    def inside(self, node: Node) -> Iterator[bool]:
        """Whether a node may be entered: not if it lies within itself, or too deep."""
        if node.id in self._inside or len(self._inside) >= DEEPEST:
            fault = "feeds itself" if node.id in self._inside else f"lies behind more than {DEEPEST} others"
            self.findings.problem(node, "", f"This node {fault}, so it cannot be followed. Take out some of its links.")
            yield False
            return
        self._inside.append(node.id)
        try:
            yield True
        finally:
            self._inside.pop()

    def given(self, node: Node, *, unnamed: bool = False) -> str | None:
        """The address that the user gives for a node; the one without an id only where `unnamed`."""
        if node.id in self.files:
            self.used.add(node.id)
            return self.files[node.id]
        if not unnamed or "" not in self.files:
            return None
        self.used.add("")
        if node not in self.unnamed:
            self.unnamed.append(node)
        return self.files[""]

    def linked(self, place: Place) -> bool:
        """Whether a node feeds the input."""
        return place.node.link(place.name) is not None

    def feed(self, place: Place) -> Feed | None:
        """The output that feeds an input, reroutes taken away; None if it is a value, or there is none."""
        link = place.node.link(place.name)
        at, name, seen = place.node, place.name, set[str]()
        while link is not None:
            fed = self._node(at, name, link)
            if fed is None or fed.class_type not in REROUTES:
                return None if fed is None else Feed(fed, link.slot)
            if fed.id in seen:
                self.findings.problem(fed, "", "Reroutes lead in a circle. Link the first one to a source.")
                return None
            seen.add(fed.id)
            self.findings.carry(fed, "nothing: it only hands on")
            at = fed
            name, link = next(iter(fed.links()), ("", None))
        return None

    def _node(self, node: Node, name: str, link: Link) -> Node | None:
        found = self.workflow.nodes.get(link.node)
        if found is None:
            self.findings.problem(
                node,
                name,
                f"It is fed by node {cut(link.node)!r}, which is not in the workflow. Export the workflow again.",
            )
        return found

    # --- values ---

    def value(self, place: Place) -> Any:  # noqa: ANN401 - whatever JSON has
        """An input's value, also where a primitive node holds it; MISSING if there is none or it cannot be known."""
        seen: set[str] = set()
        while self.linked(place):
            fed = self.feed(place)
            if fed is None:
                return MISSING
            if fed.node.class_type == "StringConcatenate":
                return self._joined(fed.node)
            held = PRIMITIVES.get(fed.node.class_type)
            if held is None or fed.node.id in seen:
                self.findings.problem(
                    place.node,
                    place.name,
                    f"Its value is made by node {fed.node.label}, which the farm does not run. Write the value into "
                    f"this input, or into a primitive node.",
                )
                return MISSING
            seen.add(fed.node.id)
            self.findings.carry(fed.node, f"the value of `{place.name}` of node {place.node.id}")
            place = Place(fed.node, held)
        return place.node.inputs.get(place.name, MISSING)

    def _joined(self, node: Node) -> Any:  # noqa: ANN401 - text or MISSING
        with self.inside(node) as fresh:
            parts = [self.text(Place(node, name), "") if fresh else None for name in ("string_a", "string_b")]
            between = self.text(Place(node, "delimiter"), "") if fresh else None
        if None in parts or between is None:
            return MISSING
        self.findings.carry(node, "text")
        return between.join(part for part in parts if part is not None)

    def text(self, place: Place, default: str | None = None) -> str | None:
        """Text; `default` if the input is absent, None if it is something else (which is a problem)."""
        found = self.value(place)
        if found is MISSING:
            return None if self.linked(place) else default
        if isinstance(found, str) and whole(found):
            return found
        self._wrong(place, found, "text")
        return None

    def number(self, place: Place, default: float | None = None, *, whole: bool = False) -> float | int | None:
        """A number, or text that is one; otherwise as `text`."""
        found = self.value(place)
        if found is MISSING:
            return None if self.linked(place) else default
        number = _as_number(found)
        if number is None or abs(number) > LARGEST or (whole and number != int(number)):
            self._wrong(place, found, "a whole number" if whole else "a number")
            return None
        return int(number) if whole else number

    def flag(self, place: Place, default: bool | None = None) -> bool | None:
        """Yes or no, also in the words of older versions; otherwise as `text`."""
        found = self.value(place)
        if found is MISSING:
            return None if self.linked(place) else default
        if isinstance(found, bool):
            return found
        if isinstance(found, str) and found.strip().lower() in WORDS:
            return WORDS[found.strip().lower()]
        self._wrong(place, found, "true or false")
        return None

    def _wrong(self, place: Place, found: object, wanted: str) -> None:
        seen = repr(found) if isinstance(found, (str, int, float)) else kind_of(found)
        self.findings.problem(place.node, place.name, f"It is {cut(seen)}; it must be {wanted}. Correct it in ComfyUI.")


def _as_number(value: object) -> float | int | None:
    """The number that a value is or spells; None for anything else, also for what is no number or endless."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    for kind in (int, float):
        try:
            number = kind(value) if isinstance(value, str) else value
        except ValueError:
            continue
        return number if abs(number) < float("inf") else None
    return None
