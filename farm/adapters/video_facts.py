"""What is known of a video, in plain values that can be written down and sent."""

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from farm.errors import Rejected


class BadVideo(Rejected):
    """A file that is no video, or none that can be read."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(
            f"{name} cannot be used as a video: {fault}. Give a file with at least one readable frame, such as MP4, "
            f"MOV, MKV, WebM or AVI with H.264, HEVC, AV1, VP9, ProRes or MPEG-4."
        )


class Colors(NamedTuple):
    """How the numbers of a stream mean colors: code points of ITU-T H.273; 2 (range: 0) is "not said"."""

    primaries: int = 2
    transfer: int = 2
    space: int = 2
    """The matrix between RGB and YUV."""
    range: int = 0
    """1: luma from 16 to 235; 2: from 0 to 255."""


class Look(NamedTuple):
    """What a stream says of all of its frames, and what is said again of the frames made from them."""

    fps: Fraction = Fraction(25)
    colors: Colors = Colors(1, 1, 1, 1)
    """BT.709 for streams that are made of pictures: what players take untagged HD for."""
    aspect: Fraction = Fraction(1)
    """Width of one pixel over its height."""


@dataclass(frozen=True)
class VideoInfo:
    """A video's facts. Sizes are as shown, after the rotation that phones write beside the pixels."""

    width: int
    height: int
    frames: int
    look: Look
    has_audio: bool
    rotation: int
    """Degrees by which decoded frames are turned, clockwise: 0, 90, 180 or 270."""
    codec: str
    pix_fmt: str
    time_base: Fraction
    """Seconds of one unit of `VideoIndex.times`."""
    groups: tuple[tuple[int, int], ...]
    """(position of the first frame from 0, number of frames): runs that are decoded by themselves, without gaps."""

    @property
    def fps(self) -> Fraction:
        """Frames per second; of a variable rate the mean."""
        return self.look.fps

    @property
    def colors(self) -> Colors:
        """Tags of the stream."""
        return self.look.colors
