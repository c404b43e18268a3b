"""SEGS as a document: what Impact Pack calls SEGS, in JSON, per clip or per frame."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator


class SegEntry(BaseModel):
    """One SEG. Coordinates in pixels of a picture of the document's `header` size, half-open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bbox: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
    """x1, y1, x2, y2."""
    crop_region: tuple[int, int, int, int]
    """x1, y1, x2, y2."""
    mask: str | tuple[str, ...] = ()
    """PNG of the crop region's size (8-bit gray), base64; one, or one per frame of the clip. None: the bbox filled."""
    label: str = "A"
    confidence: Annotated[float, Field(ge=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> SegEntry:
        for name in ("bbox", "crop_region"):
            x1, y1, x2, y2 = getattr(self, name)
            if x2 <= x1 or y2 <= y1:
                raise ValueError(
                    f"{name} is ({x1}, {y1}, {x2}, {y2}); x2 must be right of x1 and y2 below y1. "
                    f"Give corners, not a corner and a size."
                )
        return self


class SegsDocument(BaseModel):
    """The segments of a clip (`segs`: the same for all frames) or of its frames (`frames`: by frame number)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    header: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    """Height, width of the picture that the coordinates were made for."""
    segs: tuple[SegEntry, ...] = ()
    frames: dict[int, tuple[SegEntry, ...]] = {}

    @model_validator(mode="after")
    def _one_form(self) -> SegsDocument:
        if bool(self.segs) == bool(self.frames):
            raise ValueError("give either `segs` (for the whole clip) or `frames` (by frame number), and at least one.")
        return self
