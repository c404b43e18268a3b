"""The clip: what feeds the first detailer, or what the user gives in its place."""

from __future__ import annotations

from farm.comfy.detailers import DETAILERS
from farm.comfy.order import before
from farm.comfy.pictures import FileUse, Find, loaded, trimming
from farm.comfy.pipes import source
from farm.comfy.reader import Place, Reader
from farm.comfy.workflow import Node, cut
from farm.domain.assign import Draft
from farm.errors import Rejected

GIVE = "Give the clip: --frames PATH (a video, a folder of numbered pictures, a zip of them)."


def frames_of(reader: Reader, node: Node, given: str | None, span: str | None, find: Find) -> Draft:
    """The `input` of the job, as far as it is known; what is missing is told.

    Args:
        node: the first detailer.
        given: address of the clip.
        span: first and last frame.
    """
    made: Draft = {} if span is None else {"frames": span}
    place = Place(node, DETAILERS[node.class_type].image)
    fed = source(reader, place)
    use = loaded(reader, fed) if fed is not None else None
    if given is not None:
        _instead(reader, node, use, fed.node if fed else None)
        return {**made, "uri": given}
    if use is None:
        at = fed.node if fed else node
        fault = (
            f"It makes the pictures of node {node.label}, and the farm does not run it." if fed else "No clip is known."
        )
        reader.findings.problem(at, "" if fed else place.name, f"{fault} {GIVE}")
        return made
    if use.address:
        return {**made, "uri": use.address}
    _untrimmed(reader, use, made)
    try:
        found = find(use)
    except Rejected as error:
        reader.findings.problem(use.node, use.input, str(error))
        return made
    if found is None:
        kind = "folder" if use.folder else "file"
        reader.findings.problem(
            use.node, use.input, f"It loads the {kind} {cut(use.name)!r}, which was not found. {GIVE}"
        )
        return made
    reader.findings.carry(use.node, "the clip of the job")
    return {**made, "uri": found}


def _instead(reader: Reader, node: Node, use: FileUse | None, fed: Node | None) -> None:
    """Tell what the clip that was given stands for."""
    if fed is None:
        return
    if use is None:
        what = "what it makes of it" if before(reader, node) is not None else "its pictures"
        reader.findings.note(fed, "", f"The farm does not run it; the clip that was given must be {what}.")
        return
    reader.findings.carry(fed, "the clip that was given")
    changed = trimming(reader, use.node)
    if changed:
        reader.findings.note(
            use.node, changed[0], f"The clip that was given is taken as it is, without {', '.join(changed)}."
        )


def _untrimmed(reader: Reader, use: FileUse, made: Draft) -> None:
    """A loader that cuts its clip: by frame numbers, where that can be said; else it is a problem."""
    changed = set(trimming(reader, use.node))
    cap, skip = (
        reader.number(Place(use.node, name), 0, whole=True) or 0 for name in ("frame_load_cap", "skip_first_frames")
    )
    if use.video and cap > 0 and skip >= 0 and not made:
        made["frames"] = f"{int(skip) + 1}-{int(skip + cap)}"
        changed -= {"frame_load_cap", "skip_first_frames"}
    for name in sorted(changed if not made else changed - {"frame_load_cap", "skip_first_frames"}):
        reader.findings.problem(
            use.node, name, "The farm takes clips as they are. Set it back, and say which frames: --range 11-30."
        )
