"""Where pictures and masks of a workflow come from: files that it names, and what was done to them on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from farm.comfy.pipes import source
from farm.comfy.reader import Feed, Place, Reader
from farm.comfy.workflow import Node, cut

Channel = Literal["", "red", "green", "blue", "alpha"]


@dataclass(frozen=True)
class FileUse:
    """A file of the machine that the workflow was made on, and what of it is meant."""

    node: Node
    input: str
    name: str
    """As the workflow writes it, without `[input]` and the like: a path below ComfyUI's input folder."""
    channel: Channel = ""
    """What of it is the mask; empty: its colors are the picture."""
    inverted: bool = False
    """The mask is 1 where the channel is 0."""
    folder: bool = False
    """A folder of pictures."""
    video: bool = False
    address: str = ""
    """What the user gave in its place: nothing of the workflow's own counts then."""


Find = Callable[[FileUse], str | None]
"""From a file to an address that a job can name; None if it is not there. Raises Rejected if it cannot be used."""

LOADERS: dict[tuple[str, int], tuple[str, str]] = {
    ("LoadImage", 0): ("image", ""),
    ("LoadImageOutput", 0): ("image", ""),
    ("VHS_LoadVideo", 0): ("video", "video"),
    ("VHS_LoadVideoPath", 0): ("video", "video"),
    ("VHS_LoadVideoFFmpeg", 0): ("video", "video"),
    ("VHS_LoadVideoFFmpegPath", 0): ("video", "video"),
    ("VHS_LoadImages", 0): ("directory", "folder"),
    ("VHS_LoadImagesPath", 0): ("directory", "folder"),
    ("LoadVideo", 0): ("file", "video"),
}
"""Class and output slot of what loads pictures -> the input with the file, and `video` or `folder`."""
# Transparent is masked: so ComfyUI loads masks.
MASK_LOADERS: dict[tuple[str, int], tuple[str, str]] = {
    ("LoadImage", 1): ("image", ""),
    ("LoadImageOutput", 1): ("image", ""),
    ("VHS_LoadImages", 1): ("directory", "folder"),
    ("VHS_LoadImagesPath", 1): ("directory", "folder"),
}
"""The same for masks that are what is transparent."""
CHANNELS: tuple[Channel, ...] = ("red", "green", "blue", "alpha")
TRIMMING: dict[str, object] = {
    "force_rate": 0,
    "custom_width": 0,
    "custom_height": 0,
    "frame_load_cap": 0,
    "image_load_cap": 0,
    "skip_first_frames": 0,
    "skip_first_images": 0,
    "select_every_nth": 1,
}
"""Inputs of loaders that change the clip, and the value that leaves it as it is."""


def loaded(reader: Reader, fed: Feed) -> FileUse | None:
    """The file that a node loads as pictures; None if it does not load any."""
    fed = _components(reader, fed)
    given = reader.given(fed.node)
    if given:
        return FileUse(fed.node, "", "", address=given)
    spec = LOADERS.get((fed.node.class_type, fed.slot))
    return _file(reader, fed.node, *spec) if spec else None


def _components(reader: Reader, fed: Feed) -> Feed:
    """A video taken apart into its pictures is the video."""
    if (fed.node.class_type, fed.slot) != ("GetVideoComponents", 0):
        return fed
    return source(reader, Place(fed.node, "video")) or fed


def trimming(reader: Reader, node: Node) -> list[str]:
    """Inputs of a loader that change the clip."""
    return [
        name
        for name, neutral in TRIMMING.items()
        if name in node.inputs and reader.number(Place(node, name), None) not in (neutral, None)
    ]


def mask_of(reader: Reader, place: Place) -> FileUse | None:
    """The mask that feeds an input, or what the user gave in its place; None, with a problem told, if it is neither."""
    given = reader.given(place.node, unnamed=place.node.class_type in TAKERS)
    if given:
        return FileUse(place.node, place.name, "", address=given)
    fed = source(reader, place)
    if fed is None:
        if not reader.linked(place):
            reader.findings.problem(place.node, place.name, f"No mask is linked here. Link one, or {GIVE_MASK}.")
        return None
    with reader.inside(fed.node) as fresh:
        return _mask(reader, fed, place) if fresh else None


GIVE_MASK = "give --mask PATH"
TAKERS = ("MaskDetailerPipe", "MaskToSEGS", "MaskToSEGS_for_AnimateDiff")
"""Nodes whose mask a mask without a name is meant for."""


def _mask(reader: Reader, fed: Feed, place: Place) -> FileUse | None:
    node, key = fed.node, (fed.node.class_type, fed.slot)
    given = reader.given(node)
    if given:
        return FileUse(node, "", "", address=given)
    if key in MASK_LOADERS:
        use = _file(reader, node, *MASK_LOADERS[key])
        return replace(use, channel="alpha", inverted=True) if use else None
    if key == ("LoadImageMask", 0):
        channel = _channel(reader, node)
        use = _file(reader, node, "image", "")
        return replace(use, channel=channel, inverted=channel == "alpha") if use and channel else None
    if key == ("InvertMask", 0):
        use = mask_of(reader, Place(node, "mask"))
        reader.findings.carry(node, "an inverted mask")
        return replace(use, inverted=not use.inverted) if use else None
    if key == ("ImageToMask", 0):
        return _image_to_mask(reader, node)
    reader.findings.problem(
        node,
        "",
        f"It makes the mask for `{place.name}` of node {place.node.label}, and the farm does not run it. Save the mask "
        f"that it makes (MaskToImage, SaveImage), and {GIVE_MASK}: white is repainted; a folder or a video for one "
        f"mask per frame.",
    )
    return None


def _image_to_mask(reader: Reader, node: Node) -> FileUse | None:
    channel, place = _channel(reader, node), Place(node, "image")
    fed = source(reader, place)
    if fed is None or not channel:
        return None
    reader.findings.carry(node, f"a mask: the {channel} of a picture")
    if (fed.node.class_type, fed.slot) == ("MaskToImage", 0):
        return mask_of(reader, Place(fed.node, "mask")) if channel != "alpha" else None
    use = loaded(reader, fed)
    if use is None or channel == "alpha":
        fault = "a picture without transparency" if use else "what the farm does not run"
        reader.findings.problem(
            fed.node, "", f"Node {node.label} makes a mask of it, but it is {fault}. Save that mask, and {GIVE_MASK}."
        )
        return None
    return replace(use, channel=channel)


def _channel(reader: Reader, node: Node) -> Channel:
    name = reader.text(Place(node, "channel"), "red" if node.class_type == "ImageToMask" else "alpha")
    for channel in CHANNELS:
        if channel == name:
            return channel
    if name is not None:
        reader.findings.problem(
            node, "channel", f"There is no channel {cut(name)!r}. Choose one of: {', '.join(CHANNELS)}."
        )
    return ""


def _file(reader: Reader, node: Node, name: str, kind: str) -> FileUse | None:
    written = reader.text(Place(node, name), "")
    if not written:
        if written is not None:
            reader.findings.problem(node, name, "No file is named here. Choose one.")
        return None
    return FileUse(node, name, plain(written), folder=kind == "folder", video=kind == "video")


def plain(written: str) -> str:
    """A file's name as the page writes it, without the note on which of its folders it lies in."""
    text = written.replace("\\", "/").strip()
    for note in ("[input]", "[output]", "[temp]"):
        text = text.removesuffix(note).strip()
    return str(PurePosixPath(text)) if text else text
