"""A workflow as a job: which detailers become its segments, in which order, and what becomes of every other node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from farm.comfy.detailers import DETAILERS, Detailed, read_detailer
from farm.comfy.draft import UNKNOWN, Drafting
from farm.comfy.findings import CannotCarry, Carried, Findings, Remark
from farm.comfy.frames import frames_of
from farm.comfy.order import chain
from farm.comfy.pictures import FileUse, Find
from farm.comfy.reader import Reader
from farm.comfy.registry import Known, Registry
from farm.comfy.workflow import Node, Workflow, cut, read_workflow
from farm.domain.assign import Draft

VIDEOS = ("VHS_VideoCombine", "SaveVideo", "CreateVideo")
"""Nodes that make a video of pictures."""


def _nowhere(_use: FileUse) -> None:
    return None


@dataclass(frozen=True)
class Asked:
    """What the user says besides the workflow."""

    frames: str | None = None
    """Address of the clip; None: what the workflow loads."""
    range: str | None = None
    """First and last frame by number."""
    nodes: tuple[str, ...] = ()
    """Ids of the detailers that are meant; all if empty."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Id of a node that loads a file or takes a mask -> address; empty id: of the only mask."""
    models: Mapping[str, str] = field(default_factory=dict)
    """File of ComfyUI's -> model of the farm."""
    name: str = ""
    find: Find = _nowhere
    """Finds files that the workflow names."""


@dataclass(frozen=True)
class Translation:
    """What became of a workflow."""

    draft: Draft
    """The job's request as JSON has it; only good if there are no problems."""
    carried: tuple[Carried, ...]
    """Every node, in the order of the workflow."""
    notes: tuple[Remark, ...]
    problems: tuple[Remark, ...]

    def request(self) -> Draft:
        """The request. Raises CannotCarry, with all problems."""
        if self.problems:
            raise CannotCarry(self.problems)
        return self.draft


def translate(document: object, asked: Asked, known: Sequence[Known] | None) -> Translation:
    """The job that a workflow stands for, and what became of each node.

    Args:
        document: a workflow in ComfyUI's API format, as JSON has it.
        known: the models of the farm; None: no farm is near, so that files are taken to be there.
    Raises:
        NoWorkflow: the document is none.   PageFormat: it was saved, not exported.
    """
    workflow = read_workflow(document)
    reader = Reader(workflow, Findings(), asked.files)
    nodes = chain(reader, _chosen(workflow, reader.findings, asked))
    registry = Registry(known, asked.models)
    draft = _draft(reader, nodes, asked, registry) if nodes else {}
    _unused(reader, asked, registry)
    findings = reader.findings
    return Translation(
        draft, tuple(map(findings.became, workflow.nodes.values())), tuple(findings.notes), tuple(findings.problems)
    )


def _chosen(workflow: Workflow, findings: Findings, asked: Asked) -> list[Node]:
    found = [node for node in workflow.nodes.values() if node.class_type in DETAILERS]
    if not found:
        findings.problem(
            None, "", f"The workflow has no node that the farm carries. Those are: {', '.join(DETAILERS)}."
        )
    unknown = [name for name in asked.nodes if name not in {node.id for node in found}]
    for name in unknown:
        there = ", ".join(node.label for node in found) or "none"
        findings.problem(None, "", f"There is no detailer node {cut(name)!r}. The workflow's detailers: {there}.")
    return [node for node in found if not asked.nodes or node.id in asked.nodes]


def _draft(reader: Reader, nodes: Sequence[Node], asked: Asked, registry: Registry) -> Draft:
    read = [read_detailer(reader, node) for node in nodes]
    drafting = Drafting(registry, reader.findings, asked.find)
    own = [drafting.models(one) for one in read]
    first = read[0]
    for one, models in zip(read[1:], own[1:], strict=True):
        _one_job(reader.findings, first, own[0], one, models)
    clip = frames_of(reader, nodes[0], asked.frames, asked.range, asked.find)
    draft: Draft = {
        **({"name": asked.name} if asked.name else {}),
        "type": first.spec.job_type.value,
        "input": {"uri": UNKNOWN, **clip},
        "segments": drafting.segments(read),
        **own[0],
        "outputs": _outputs(reader, read),
    }
    if first.batch_size != 1:
        draft["batch_size"] = first.batch_size
    if draft["segments"]:
        drafting.check(draft)
    return draft


def _one_job(findings: Findings, first: Detailed, models: Draft, other: Detailed, others: Draft) -> None:
    """Two detailers in one job must have in common what a job has once."""
    differ = [name for name in sorted({*models, *others}) if models.get(name) != others.get(name)]
    if first.spec.job_type is not other.spec.job_type:
        differ.insert(0, "type")
    if differ:
        findings.problem(
            other.node,
            "",
            f"It comes after node {first.node.label}, but its {', '.join(differ)} differ, which a job has once. "
            f"Submit them one after the other: --node {first.node.id}, then --node {other.node.id} on its frames.",
        )
    if (first.batch_size, other.batch_size) != (1, 1):
        findings.problem(
            other.node, "batch_size", "One detailer after another cannot have variations. Set batch_size to 1 in both."
        )


def _outputs(reader: Reader, read: Sequence[Detailed]) -> list[str]:
    """The video, and whatever else the workflow looks at."""
    found = {"video": None}
    ids = {one.node.id for one in read}
    for one in read:
        for node, name, slot in reader.workflow.consumers(one.node.id):
            if slot in one.spec.outputs:
                found[one.spec.outputs[slot]] = None
                reader.findings.carry(node, f"files: {one.spec.outputs[slot]}")
            elif slot == 0 and node.class_type in VIDEOS:
                reader.findings.carry(node, "the video of the job, with the clip's rate and sound")
            elif slot == 0 and node.class_type.startswith(("Save", "Preview")):
                reader.findings.carry(node, "the frames of the job")
            elif slot == 0 and node.id not in ids and node.class_type not in DETAILERS:
                reader.findings.note(node, name, "It works on what the detailer made; the farm does not run it.")
    return list(found)


def _unused(reader: Reader, asked: Asked, registry: Registry) -> None:
    """What the user gave and nothing asked for is a slip."""
    if len(reader.unnamed) > 1:
        told = " ".join(f"--mask {node.id}=PATH" for node in reader.unnamed)
        reader.findings.problem(None, "", f"Several masks are needed, and one was given without a node. Give: {told}.")
    for name in asked.files.keys() - reader.used:
        text = f"Nothing asks for the mask of node {cut(name)!r}." if name else "Nothing asks for a mask."
        reader.findings.problem(None, "", f"{text} Leave it out, or name a node that loads or takes a mask.")
    for file in asked.models.keys() - registry.used:
        reader.findings.note(None, "", f"The workflow does not name {cut(file)!r}, which was mapped.")
