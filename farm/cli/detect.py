"""`farm detect`: what a detector finds in a clip, as a SEGS document to look at, to edit and to submit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict, Field

from farm.adapters.media_segs import read_segs
from farm.adapters.overlays import Drawn, with_boxes
from farm.adapters.pictures import U8, decode_rgb, encode_png
from farm.adapters.sheets import contact_sheet
from farm.cli.context import LONG_PATIENCE_S, client
from farm.cli.options import Given, OptionGroup, generated
from farm.cli.show import AsJson, notes, table, write_json
from farm.cli.submit import wanted
from farm.cli.typed import CLIP, HOW_TO_DETECT, Source
from farm.cli.watch import end, follow
from farm.client import Farm
from farm.client.http import PREFIX
from farm.domain.detailer import Detailer
from farm.domain.detection import FACE, DetectRequest
from farm.domain.segment import SegEntry, SegsDocument
from farm.domain.state import JobState
from farm.errors import Rejected

EPILOG = (
    "Examples: [cyan]farm detect clip.mp4 -o segs.json --picture found.png[/cyan] · "
    "[cyan]farm detect clip.mp4 --detector hand_yolov8n.onnx --threshold 0.4 --every 3[/cyan]. Then, edited or not: "
    "[cyan]farm job submit clip.mp4 --segs face=segs.json --prompt 'a detailed face'[/cyan]"
)
SHOWN, COLUMNS, CELL = 12, 3, 480
"""Frames on a contact sheet, at most; how many beside each other; pixels of width of each."""


class Finding(BaseModel):
    """What is wanted, and where it goes."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    detector: str = FACE.name
    """`face`, which comes with the farm, the name of a detector that was added, or a .onnx file."""
    picture: Path | None = None
    """Also a picture of some frames with what was found drawn over them (PNG)."""
    timeout: Annotated[float | None, Field(ge=0)] = None
    """Seconds to wait at the most; then the exit code is 3 and the job goes on."""
    priority: Annotated[int, Field(ge=0, le=100)] = 80
    """Larger runs first."""


class Identity(BaseModel):
    """One thing through the clip."""

    identity: int | None
    """None: nobody was told apart."""
    label: str
    first: int
    last: int
    """Numbers of frames."""
    frames: int
    """In which it is."""
    filled: int
    """Of them, in which it was not found, but before and after."""
    confidence: float
    """Mean over those in which it was found."""


@generated(
    finding=OptionGroup(Finding, "Detecting"),
    clip=CLIP,
    how=OptionGroup(DetectRequest, "Detecting", HOW_TO_DETECT),
    crop=OptionGroup(Detailer, "Detecting", ("crop_factor", "drop_size")),
)
def detect(
    source: Source = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The SEGS document.")] = Path("segs.json"),
    *,
    finding: Given,
    clip: Given,
    how: Given,
    crop: Given,
    as_json: AsJson = False,
) -> None:
    """Find faces (or what another detector finds) in a clip and write them down as a SEGS document.

    A line per frame, with a box, a confidence and a number for each thing; edit it, and submit it with `--segs`.
    """
    asked = Finding.model_validate(finding)
    for path in filter(None, (output, asked.picture)):
        if not path.parent.is_dir() or path.is_dir():
            raise Rejected(f"{str(path)!r} cannot be written: name a file in a folder that is there.")
    job: Given = {"type": "detect", "priority": asked.priority}
    with client(LONG_PATIENCE_S) as farm:
        request = wanted(farm, source, {"detect": [f"found={asked.detector}"]}, clip, job, crop, how)
        accepted = farm.submit(request)
        ended = follow(farm, accepted.id, asked.timeout, quiet=as_json)
        if ended is None or ended.status is not JobState.COMPLETED:
            raise typer.Exit(end(farm, ended, accepted.id))
        data = farm.http.fetch(f"{PREFIX}/jobs/{accepted.id}/outputs/segs.json").read()
        document = read_segs(data, "segs.json")
        output.write_bytes(data)
        found = identities(document)
        if asked.picture is not None and found:
            upload = (farm.job_document(accepted.id).get("document") or {})["input"]["id"]
            asked.picture.write_bytes(encode_png(sheet(document, shown_frames(farm, upload, document))))
    if as_json:
        write_json({"job": accepted.id, "segs": str(output), "found": [one.model_dump() for one in found]})
    else:
        _tell(found, output, asked)


def identities(document: SegsDocument) -> list[Identity]:
    """Who is in a document, by number; without numbers by label."""
    seen: dict[tuple[int, str], list[tuple[int, SegEntry]]] = {}
    for number in sorted(document.frames):
        for entry in document.frames[number]:
            key = (entry.identity, "") if entry.identity is not None else (0, entry.label)
            seen.setdefault(key, []).append((number, entry))
    return [_identity(seen[key]) for key in sorted(seen)]


def _identity(entries: Sequence[tuple[int, SegEntry]]) -> Identity:
    sure = [entry.confidence for _, entry in entries if not entry.filled]
    return Identity(
        identity=entries[0][1].identity,
        label=entries[0][1].label,
        first=entries[0][0],
        last=entries[-1][0],
        frames=len({number for number, _ in entries}),
        filled=sum(entry.filled for _, entry in entries),
        confidence=round(sum(sure) / max(1, len(sure)), 3),
    )


def chosen(document: SegsDocument) -> list[int]:
    """Numbers of the frames that show best what was found: spread evenly over those with something in them."""
    numbers = sorted(number for number, entries in document.frames.items() if entries)
    if len(numbers) <= SHOWN:
        return numbers
    return [numbers[round(place * (len(numbers) - 1) / (SHOWN - 1))] for place in range(SHOWN)]


def sheet(document: SegsDocument, pictures: Iterator[tuple[int, U8]]) -> U8:
    """A contact sheet of frames, by number, with what was found drawn over them; dashed where it was filled in."""
    cells = []
    for number, picture in pictures:
        by = picture.shape[1] / document.header[1]
        drawn = [_drawn(entry, by) for entry in document.frames.get(number, ())]
        cells.append(with_boxes(picture, drawn, f"frame {number}"))
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    return contact_sheet(rows, max_width=CELL)


def shown_frames(farm: Farm, upload: str, document: SegsDocument) -> Iterator[tuple[int, U8]]:
    """The chosen frames of an upload, scaled down."""
    for number in chosen(document):
        query = f"number={number}&width={CELL}"
        yield number, decode_rgb(farm.http.fetch(f"{PREFIX}/uploads/{upload}/preview?{query}").read())


def _drawn(entry: SegEntry, by: float) -> Drawn:
    x1, y1, x2, y2 = (value * by for value in entry.bbox)
    who = f"#{entry.identity} " if entry.identity is not None else ""
    text = f"{who}filled" if entry.filled else f"{who}{entry.label} {entry.confidence:.2f}"
    return Drawn((x1, y1, x2, y2), text, (entry.identity or 1) - 1, entry.filled)


def _tell(found: Sequence[Identity], output: Path, asked: Finding) -> None:
    columns = ("number", "label", "frames", "from", "to", "filled", "confidence")
    rows = [
        (one.identity or "", one.label, one.frames, one.first, one.last, one.filled, f"{one.confidence:.2f}")
        for one in found
    ]
    table(columns, rows, "Nothing was found. Lower --threshold, or look at other --labels.")
    if not found:
        return
    notes().print(f"{output} has them; edit it, then: farm job submit CLIP --segs {output}", markup=False)
    if asked.picture is not None:
        notes().print(f"{asked.picture} shows them.", markup=False)
