"""What a user hands in, after it was looked at: facts that a submission is checked against."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MediaKind = Literal["video", "pictures", "segs"]


class Picture(BaseModel):
    """One numbered picture of a sequence and where its bytes lie."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    """The number in its name; the position in the sequence, from 1, where the name has none."""
    name: str
    """File name as the user had it."""
    blob: str
    """Name of the object with its bytes, in the farm's store."""


class Group(BaseModel):
    """A run of frames that can be decoded by itself: a group of pictures of a video."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Annotated[int, Field(ge=0)]
    """Position of its first frame in the clip, from 0."""
    frames: Annotated[int, Field(ge=1)]


class Media(BaseModel):
    """A video, a sequence of pictures or a SEGS document that the store holds. Named by its content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """sha256 (hex) of the content: of a video's bytes, of a sequence's names and picture digests."""
    kind: MediaKind
    name: str
    """What the user called it."""
    blob: str = ""
    """Object with the bytes (video, segs); empty for pictures."""
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    frames: Annotated[int, Field(ge=1)]
    first_number: int = 1
    """Number of the first frame. A video's frames are numbered from 1, as ffmpeg names pictures."""
    fps: tuple[int, int] | None = None
    """Frames per second as a fraction; None for pictures."""
    has_audio: bool = False
    empty: bool = False
    """As a mask, no pixel of any frame is set."""
    groups: tuple[Group, ...] = ()
    """Video only: its groups of pictures, in order, without gaps."""
    pictures: tuple[Picture, ...] = ()
    """Pictures only, in order."""
    listed: bool = True
    """False in the short form that a job carries, where `groups` and `pictures` were left out."""

    def brief(self) -> Media:
        """The same without its long lists, for documents that are read often."""
        return self.model_copy(update={"groups": (), "pictures": (), "listed": False})
