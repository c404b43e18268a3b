"""`farm comfy …`: workflows of ComfyUI as jobs of the farm."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ConfigDict, Field

from farm.cli.comfy_files import PNG, ComfyFiles, saved_workflow
from farm.cli.context import LONG_PATIENCE_S, client
from farm.cli.draft import Draft, addressed, assign
from farm.cli.faults import REJECTED
from farm.cli.options import Given, OptionGroup, generated
from farm.cli.show import AsJson, notes, out, table, write_json
from farm.cli.submit import Sending, deliver
from farm.cli.watch import transfer
from farm.client import Farm
from farm.comfy.registry import Known
from farm.comfy.translate import Asked, Translation, translate
from farm.errors import Rejected, Unavailable

app = typer.Typer(
    help="Workflows of ComfyUI as jobs: MaskDetailerPipe, DetailerForEachPipeForAnimateDiff, DetailerForEachPipe, "
    "FaceDetailerPipe, with all that they are fed with.",
    no_args_is_help=True,
)

Workflow = Annotated[
    Path,
    typer.Argument(
        metavar="WORKFLOW",
        help="A workflow in the API format: in ComfyUI, Workflow > Export (API); or a PNG that ComfyUI has saved.",
        show_default=False,
    ),
]


class Meant(BaseModel):
    """What goes with a workflow."""

    model_config = ConfigDict(use_attribute_docstrings=True, populate_by_name=True)

    frames: str | None = None
    """The clip: a video, a folder of numbered pictures, a zip of them, or s3://bucket/prefix/. Left out: what the
    workflow loads, if that file is at hand."""
    span: Annotated[str | None, Field(alias="range")] = None
    """First and last frame to detail, 60-91; all if left out."""
    mask: list[str] = []
    """[NODE=]PATH of a mask, by the id of the node that takes or loads it: white is repainted; a folder or a video for
    one mask per frame. Without NODE: the workflow's only mask. May be given several times."""
    maps: Annotated[list[str], Field(alias="map")] = []
    """FILE=NAME: the model of the farm that stands for a file of ComfyUI's. Files that were added under their own name
    are found by themselves. May be given several times."""
    node: list[str] = []
    """Id of the detailer that is meant, where there are several; several for a line of them."""
    files: Path | None = None
    """ComfyUI's input folder, where files that the workflow names lie; the workflow's own folder if left out."""
    name: str = ""
    """Of the job."""
    assign: Annotated[list[str], Field(alias="set")] = []
    """PARAMETER=VALUE or segments.NAME.PARAMETER=VALUE: changes of what the workflow says. May be given several
    times."""


MEANT = OptionGroup(Meant, "What to detail")
SENDING = OptionGroup(Sending, "Submitting", plain_flags=True)


@app.command(epilog="Example: [cyan]farm comfy submit workflow_api.json --frames clip.mp4 --wait[/cyan]")
@generated(meant=MEANT, sending=SENDING)
def submit(workflow: Workflow, *, meant: Given, sending: Given, as_json: AsJson = False) -> None:
    """Submit a workflow as a job. Whatever cannot be carried is told, all at once, and nothing is submitted."""
    how = Sending.model_validate(sending)
    wanted = Meant.model_validate(meant)
    with client(LONG_PATIENCE_S if how.wait or how.download else 10.0) as farm, read(farm, workflow, wanted) as found:
        for note in found.notes:
            notes().print(f"Note: {note}", markup=False, soft_wrap=True)
        draft = changed(found.request(), wanted.assign)

        def media(path: str, purpose: str) -> str:
            with transfer(f"{purpose} {Path(path).name}") as on_bytes:
                return farm.upload(Path(path).expanduser(), on_bytes).uri

        deliver(farm, addressed(draft, media, str), how, as_json)


@app.command()
@generated(meant=MEANT)
def check(workflow: Workflow, *, meant: Given, as_json: AsJson = False) -> None:
    """Say what each node of a workflow becomes, and what cannot be carried. Nothing is submitted or sent.

    Exit code 65: something cannot be carried.
    """
    wanted = Meant.model_validate(meant)
    with client() as farm, read(farm, workflow, wanted, alone=True) as found:
        draft = found.draft if found.problems else changed(found.draft, wanted.assign)
        if as_json:
            write_json({"request": draft, **{name: getattr(found, name) for name in ("carried", "notes", "problems")}})
        else:
            show(found)
    if found.problems:
        raise typer.Exit(REJECTED)


@contextmanager
def read(farm: Farm, path: Path, wanted: Meant, *, alone: bool = False) -> Iterator[Translation]:
    """What becomes of the workflow in a file; masks that were made of its files are there as long as this lasts.

    Args:
        alone: do without a farm that does not answer: models are then not looked up.
    """
    document = load(path)
    known = _known(farm, alone)
    with tempfile.TemporaryDirectory(prefix="farm-comfy-") as scratch:
        files = ComfyFiles(wanted.files or path.parent, Path(scratch))
        asked = Asked(
            frames=wanted.frames,
            range=wanted.span,
            nodes=tuple(wanted.node),
            files=dict(_pair(text, "--mask") for text in wanted.mask),
            models=dict(_pair(text, "--map") for text in wanted.maps),
            name=wanted.name,
            find=files.find,
        )
        yield translate(document, asked, known)


def load(path: Path) -> Any:  # noqa: ANN401 - any JSON
    """The JSON in a file, or in a picture that ComfyUI saved. Raises Rejected."""
    try:
        data = path.expanduser().read_bytes()
        return json.loads(saved_workflow(data, path.name) if data.startswith(PNG) else data)
    except OSError as error:
        raise Rejected(f"The workflow {str(path)!r} cannot be read: {error.strerror}. Check the path.") from None
    except (ValueError, RecursionError) as error:
        raise Rejected(f"The workflow {str(path)!r} is no JSON: {error}. Export it again, in the API format.") from None


def _known(farm: Farm, alone: bool) -> list[Known] | None:
    try:
        return [Known(model.name, model.kind) for model in farm.models()]
    except Unavailable as error:
        if not alone:
            raise
        notes().print(f"Note: models are not looked up. {error}", markup=False, soft_wrap=True)
        return None


def _pair(text: str, option: str) -> tuple[str, str]:
    """`left=right`. A mask may stand alone, for a path may have a `=` of its own only behind the first one."""
    left, equals, right = text.partition("=")
    if equals and right and (left or option == "--mask"):
        return left, right
    if option == "--mask" and not equals:
        return "", text
    raise Rejected(
        f"{option} {text!r}: write what stands for what, {'NODE=PATH' if option == '--mask' else 'FILE=NAME'}."
    )


def changed(draft: Draft, assignments: list[str]) -> Draft:
    """The draft with what `--set` says. Raises BadAssignment, BadPath."""
    for text in assignments:
        assign(draft, text)
    return draft


def show(found: Translation) -> None:
    """A line for each node, then what is to be known, then what stands in the way."""
    faulty = {problem.node for problem in found.problems}
    rows = [
        (
            one.node,
            one.class_type,
            one.title if one.title != one.class_type else "",
            one.became or ("- cannot be carried" if one.node in faulty else "- not needed"),
        )
        for one in found.carried
    ]
    table(("node", "class", "title", "becomes"), rows, "The workflow has no nodes.")
    for note in found.notes:
        out().print(f"Note: {note}", markup=False)
    for problem in found.problems:
        out().print(f"Cannot be carried: {problem}", markup=False)
    if found.problems:
        count = len(found.problems)
        notes().print(f"{count} {'thing stands' if count == 1 else 'things stand'} in the way. Nothing was submitted.")
    else:
        notes().print("The workflow can be submitted: farm comfy submit. Nothing was submitted.")
