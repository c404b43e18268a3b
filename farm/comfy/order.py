"""Detailers that follow each other: one chain becomes the segments of one job, in its order."""

from __future__ import annotations

from collections.abc import Sequence

from farm.comfy.detailers import DETAILERS
from farm.comfy.pipes import source
from farm.comfy.reader import Place, Reader
from farm.comfy.workflow import Node


def before(reader: Reader, node: Node) -> Node | None:
    """The detailer whose pictures a detailer is given, if it is given any."""
    fed = source(reader, Place(node, DETAILERS[node.class_type].image))
    return fed.node if fed is not None and fed.slot == 0 and fed.node.class_type in DETAILERS else None


def chain(reader: Reader, nodes: Sequence[Node]) -> list[Node]:
    """The nodes in the order in which they act; none, with a problem told, if they do not follow each other."""
    if len(nodes) < 2:
        return list(nodes)
    chosen = {node.id for node in nodes}
    above = {node.id: found.id for node in nodes if (found := before(reader, node)) is not None and found.id in chosen}
    last = [node for node in nodes if node.id not in above.values()]
    walked: list[Node] = []
    at = last[0] if len(last) == 1 else None
    while at is not None and at not in walked:
        walked.append(at)
        at = next((node for node in nodes if node.id == above.get(walked[-1].id)), None)
    if len(walked) == len(nodes):
        return walked[::-1]
    told = ", ".join(node.label for node in nodes)
    reader.findings.problem(
        None,
        "",
        f"The workflow has {len(nodes)} detailers that do not follow each other in one line: {told}. Choose with "
        f"--node ID (several for a line of them), and submit the others by themselves.",
    )
    return []
