"""SEGS as a document: what Impact Pack calls SEGS, in JSON, per clip or per frame."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from farm.domain.detection import MaskingMode, SegsPivot

Coordinate = Annotated[float, Field(ge=-1_000_000, le=1_000_000, allow_inf_nan=False)]
"""Pixels."""


class SegEntry(BaseModel):
    """One SEG. Coordinates in pixels of a picture of the document's `header` size, half-open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bbox: tuple[Coordinate, Coordinate, Coordinate, Coordinate]
    """x1, y1, x2, y2."""
    crop_region: tuple[int, int, int, int] | None = None
    """x1, y1, x2, y2. None: as large as the job's `crop_factor` makes it around the bbox."""
    mask: str | tuple[str, ...] = ()
    """PNG of the crop region's size (8-bit gray), base64; one, or one per frame of the clip. None: the bbox filled."""
    label: str = "A"
    confidence: Annotated[float, Field(ge=0, le=1)] = 1.0
    identity: Annotated[int, Field(ge=1)] | None = None
    """Who or what it is: the same number in other frames is the same thing."""
    filled: bool = False
    """It was not found in this frame, but before and after. For people; nothing goes by it."""
    dilation: Annotated[int, Field(ge=-512, le=512)] = 0
    """Pixels (side of the square kernel) by which the filled bbox is grown. With a `mask` it must be 0."""

    @model_validator(mode="after")
    def _ordered(self) -> SegEntry:
        for name in ("bbox", *(("crop_region",) if self.crop_region is not None else ())):
            x1, y1, x2, y2 = getattr(self, name)
            if x2 <= x1 or y2 <= y1:
                raise ValueError(
                    f"{name} is ({x1}, {y1}, {x2}, {y2}); x2 must be right of x1 and y2 below y1. "
                    f"Give corners, not a corner and a size."
                )
        if self.mask and self.crop_region is None:
            raise ValueError("a `mask` needs the `crop_region` that it is the mask of. Give it, or leave the mask out.")
        if self.mask and self.dilation:
            raise ValueError("`dilation` grows the filled bbox; a `mask` is taken as it is. Leave one of them out.")
        return self


class SegsDocument(BaseModel):
    """The segments of a clip (`segs`: the same for all frames) or of its frames (`frames`: by frame number)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    header: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    """Height, width of the picture that the coordinates were made for."""
    segs: tuple[SegEntry, ...] = ()
    frames: dict[int, tuple[SegEntry, ...]] = {}
    masking_mode: MaskingMode | None = None
    """Of `frames`, in `animatediff` jobs: which frames' masks a frame has. None: its own."""
    segs_pivot: SegsPivot = "combined_mask"
    """Of `frames`, in `animatediff` jobs: what a segment of the clip is made of."""
    made_by: dict[str, JsonValue] = {}
    """What it was made with. For people; nothing goes by it."""

    @model_validator(mode="after")
    def _one_form(self) -> SegsDocument:
        # Nothing found in any frame is `"frames": {}`.
        if bool(self.segs) == bool(self.frames) and ("frames" not in self.model_fields_set or self.segs):
            raise ValueError("give either `segs` (for the whole clip) or `frames` (by frame number), and at least one.")
        return self

    @model_validator(mode="after")
    def _told_apart(self) -> SegsDocument:
        if any(entry.identity is not None for entry in self.segs):
            raise ValueError("`identity` says who is who between `frames`; entries of `segs` are there in all of them.")
        numbered = {entry.identity is not None for entries in self.frames.values() for entry in entries}
        if len(numbered) > 1:
            raise ValueError("some entries have an `identity` and others have none. Give all of them one, or none.")
        for number, entries in self.frames.items():
            own = [entry.identity for entry in entries if entry.identity is not None]
            twice = sorted({one for one in own if own.count(one) > 1})
            if twice:
                raise ValueError(
                    f"frame {number} has identity {twice[0]} more than once. Give each entry of a frame its own number."
                )
        return self

    @property
    def by_identity(self) -> bool:
        """Whether entries say who they are, or the document how masks go from frame to frame."""
        return self.masking_mode is not None or any(
            entry.identity is not None for entries in self.frames.values() for entry in entries
        )
