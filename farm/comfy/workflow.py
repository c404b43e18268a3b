"""A workflow in ComfyUI's API format: nodes by id, their inputs, and links. Nothing is known of classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from farm.errors import Rejected

MAX_NODES = 10_000
"""Nodes of a workflow that is read."""
SHOWN = 5
"""Faults that are told at once."""
MAX_TEXT = 120
"""Characters of a class or title that are told back."""


class NoWorkflow(Rejected):
    """A document that is no workflow in the API format."""

    def __init__(self, fault: str) -> None:
        super().__init__(
            f"This is no workflow in ComfyUI's API format: {fault}. That format is one JSON object, with a node for "
            f'each id: {{"3": {{"class_type": "…", "inputs": {{…}}}}}}. {HOW_TO_EXPORT}'
        )


class PageFormat(Rejected):
    """A workflow as ComfyUI's page saves it: without the names of its widgets, which only the page knows."""

    def __init__(self, nodes: int) -> None:
        super().__init__(
            f"This is a workflow as ComfyUI's page saves it ({nodes} nodes with positions and links); it lacks the "
            f"names of its inputs, so a job cannot be made of it. {HOW_TO_EXPORT}"
        )


HOW_TO_EXPORT = (
    "In ComfyUI open the workflow and choose Workflow > Export (API); in older versions first turn on Settings > "
    "Enable Dev mode Options, then choose Save (API Format)."
)


@dataclass(frozen=True)
class Link:
    """An input that another node's output feeds."""

    node: str
    slot: int


@dataclass(frozen=True)
class Node:
    """One node as it was exported."""

    id: str
    class_type: str
    title: str
    """As the page shows it; the class if nobody named it."""
    inputs: Mapping[str, Any]

    def link(self, name: str) -> Link | None:
        """What feeds the input `name`; None if it is a value, or absent."""
        return as_link(self.inputs.get(name))

    def links(self) -> Iterator[tuple[str, Link]]:
        """All inputs that are fed by nodes."""
        for name, value in self.inputs.items():
            link = as_link(value)
            if link is not None:
                yield name, link

    @property
    def label(self) -> str:
        """For sentences: `12 (LoraLoader "style")`."""
        title = f' "{self.title}"' if self.title != self.class_type else ""
        return f"{self.id} ({self.class_type}{title})"


@dataclass(frozen=True)
class Workflow:
    """Nodes by id, in the order of the document."""

    nodes: Mapping[str, Node]

    def consumers(self, node: str) -> Iterator[tuple[Node, str, int]]:
        """Who is fed by a node: the other node, its input, and the slot that it is fed from."""
        for other in self.nodes.values():
            for name, link in other.links():
                if link.node == node:
                    yield other, name, link.slot


def as_link(value: object) -> Link | None:
    """The link that an input's value is: `["4", 0]`."""
    if not isinstance(value, list) or len(value) != 2:
        return None
    node, slot = value
    if (
        isinstance(node, bool)
        or not isinstance(node, (str, int))
        or isinstance(slot, bool)
        or not isinstance(slot, int)
    ):
        return None
    return Link(str(node), slot)


def read_workflow(document: object) -> Workflow:
    """The workflow in a JSON document; one inside of `{"prompt": …}`, as it is sent to ComfyUI, will do.

    Raises:
        PageFormat: it was saved, not exported.   NoWorkflow: it is anything else.
    """
    if not isinstance(document, dict):
        raise NoWorkflow(f"it is {kind_of(document)}")
    nodes = document.get("nodes")
    if isinstance(nodes, list) and "class_type" not in document:
        raise PageFormat(len(nodes))
    prompt = document.get("prompt")
    if isinstance(prompt, dict) and "class_type" not in prompt:
        document = prompt
    if not document:
        raise NoWorkflow("it is empty")
    if len(document) > MAX_NODES:
        raise NoWorkflow(f"it has {len(document):,} nodes, more than the {MAX_NODES:,} that are read")
    faults: list[str] = []
    found: dict[str, Node] = {}
    for name, value in document.items():
        node = _node(str(name), value, faults)
        if node is not None:
            found[node.id] = node
    if faults:
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise NoWorkflow("; ".join(faults[:SHOWN]) + more)
    return Workflow(found)


def _node(name: str, value: object, faults: list[str]) -> Node | None:
    shown = cut(name)
    if not whole(name) or len(name) > MAX_TEXT:
        faults.append(f"{shown!r} is no id of a node")
        return None
    if not isinstance(value, dict):
        faults.append(f"{shown!r} is {kind_of(value)}, not a node")
        return None
    class_type, inputs, meta = value.get("class_type"), value.get("inputs", {}), value.get("_meta")
    if not isinstance(class_type, str) or not class_type:
        faults.append(f"node {shown!r} has no `class_type`")
        return None
    if not isinstance(inputs, dict):
        faults.append(f"the `inputs` of node {shown!r} are {kind_of(inputs)}, not an object")
        return None
    title = meta.get("title") if isinstance(meta, dict) else None
    named = title if isinstance(title, str) and title.strip() else class_type
    return Node(name, cut(class_type), cut(named), {str(key): one for key, one in inputs.items()})


def cut(text: str) -> str:
    """A text of the workflow, fit and short enough to be told back."""
    text = text if whole(text) else text.encode(errors="replace").decode()
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def whole(text: str) -> bool:
    """Whether a text is made of whole characters: JSON can also write halves of them, which cannot be told back."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def kind_of(value: object) -> str:
    """What a JSON value is, for sentences."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return "null" if value is None else names.get(type(value), "something else")
