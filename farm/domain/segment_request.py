"""What a user says of a segment, and what an override changes in it for a range of frames."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from farm.domain.control import ConditioningRequest, ControlRequest, ImagePromptRequest
from farm.domain.detailer import Detailer
from farm.domain.detection import DetectRequest
from farm.domain.keyframes import laid_over

SourceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class SegmentChange(Detailer):
    """Whatever may be said of a segment; what is not set stays as it is."""

    mask: str | None = None
    """Upload URI of a picture, a sequence of pictures or a video: white is repainted."""
    segs: str | None = None
    """Upload URI of a SEGS document."""
    controlnets: Annotated[tuple[ControlRequest, ...], Field(max_length=8)] = ()
    """ControlNets, each on top of those before it."""
    image_prompts: Annotated[tuple[ImagePromptRequest, ...], Field(max_length=4)] = ()
    """IP-Adapters, which show the model pictures beside the prompt."""
    conditionings: Annotated[tuple[ConditioningRequest, ...], Field(max_length=16)] = ()
    """Further prompts for parts of the picture."""


class SegmentRequest(SegmentChange):
    """A source of segments: a mask (one, or one per frame), a SEGS document or a detector; what is set here wins over
    the job's."""

    name: SourceName
    """For people and for outputs; names differ within a job."""
    detect: DetectRequest | None = None
    """What is to be found in the clip itself, by a detector."""

    @model_validator(mode="after")
    def _one_source(self) -> SegmentRequest:
        if sum(given is not None for given in (self.mask, self.segs, self.detect)) != 1:
            raise ValueError(f"segment {self.name!r} needs one of `mask`, `segs` and `detect`, and only one.")
        return self


class OverrideRequest(BaseModel):
    """Another value of some parameters over a range of frames."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    frames: Annotated[str, Field(max_length=64, examples=["5000-5099"])]
    """First and last frame by number. In `animatediff` jobs whole chunks."""
    segments: Annotated[tuple[SourceName, ...], Field(min_length=1, max_length=64)] | None = None
    """Names of the segments that are meant; all if left out."""
    set: SegmentChange
    """What is another there: parameters of a segment, or what it brings along."""

    @model_validator(mode="after")
    def _some_change(self) -> OverrideRequest:
        if not self.set.model_fields_set:
            raise ValueError('`set` is empty: say which parameters differ there, such as {"prompt": "…"}.')
        if self.set.mask is not None and self.set.segs is not None:
            raise ValueError("an override sets either `mask` or `segs`, not both.")
        return self


def changed(segment: SegmentRequest, change: SegmentChange) -> SegmentRequest:
    """The segment with what `change` sets; a mask takes the place of a SEGS document or a detector, a value that of key
    frames, and the other way round. Raises Rejected."""
    given = {name: getattr(change, name) for name in change.model_fields_set}
    values: dict[str, Any] = {name: getattr(segment, name) for name in segment.model_fields_set}
    if {"mask", "segs"} & given.keys():
        values = {name: value for name, value in values.items() if name not in ("mask", "segs", "detect")}
    return SegmentRequest.model_validate(laid_over(values, given))
