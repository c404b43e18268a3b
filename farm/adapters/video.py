"""Video in and out: look at one, decode it by groups, encode by groups, join. The parts are in `video_*.py`."""

from farm.adapters.video_decode import decode_group, to_rgb
from farm.adapters.video_encode import NoFrames, PartsDiffer, encode_group, join
from farm.adapters.video_facts import BadVideo, Colors, Look, VideoInfo
from farm.adapters.video_index import probe

__all__ = [
    "BadVideo",
    "Colors",
    "Look",
    "NoFrames",
    "PartsDiffer",
    "VideoInfo",
    "decode_group",
    "encode_group",
    "join",
    "probe",
    "to_rgb",
]
