"""Files that a workflow of ComfyUI names, found on this machine; masks made as ComfyUI would load them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from farm.adapters.media_sequence import is_picture
from farm.adapters.pictures import BadPicture, decode, encode_png
from farm.comfy.pictures import FileUse
from farm.errors import Rejected

BELOW = ("", "input")
"""Where files lie below the folder that was named."""
PNG = b"\x89PNG"
"""How PNGs begin."""
LONGEST = 255
"""Bytes of a file's name, on any disk."""
COLORS = {"red": 0, "green": 1, "blue": 2}


def saved_workflow(data: bytes, name: str) -> str:
    """The workflow that made a picture, as ComfyUI writes it into its PNGs. Raises Rejected."""
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as picture:
            found = picture.info.get("prompt")
    except (OSError, ValueError) as error:
        raise Rejected(f"The picture {name!r} cannot be read: {error}. Export the workflow instead.") from None
    if not isinstance(found, str):
        raise Rejected(f"The picture {name!r} holds no workflow of ComfyUI. Export it: Workflow > Export (API).")
    return found


class ComfyFiles:
    """Looks below one folder and nowhere else: a workflow may come from anybody."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        """
        Args:
            folder: ComfyUI's input folder, or the workflow's own.
            scratch: empty; masks that had to be made are put there.
        """
        self._folder = folder.expanduser()
        self._scratch = scratch
        self._made = 0

    def find(self, use: FileUse) -> str | None:
        """Path of the file, or of a mask made of it (white: repainted); None if it is not there.

        Raises:
            Rejected: it has not the channel that is meant, or is a video of which no mask can be made.
        """
        path = self._path(use.name)
        if path is None or path.is_dir() is not use.folder:
            return None
        if not use.channel or (use.channel == "red" and not use.inverted and (use.folder or not is_picture(path.name))):
            return str(path)
        if use.folder:
            pictures = [child for child in sorted(path.iterdir()) if child.is_file() and is_picture(child.name)]
            made = self._new(path.name)
            for picture in pictures:
                (made / f"{picture.stem}.png").write_bytes(_mask(picture, use))
            return str(made)
        if not is_picture(path.name):
            raise Rejected(
                f"{path.name!r} is a video, whose {use.channel} {'inverted ' if use.inverted else ''}is the mask; the "
                f"farm reads a video's red. Save the masks as pictures, and give --mask {use.node.id}=FOLDER."
            )
        made = self._new(path.stem) / f"{path.stem}.png"
        made.write_bytes(_mask(path, use))
        return str(made)

    def _path(self, name: str) -> Path | None:
        relative = PurePosixPath(name)
        if any(len(part.encode()) > LONGEST for part in relative.parts):
            return None
        inside = not relative.is_absolute() and ".." not in relative.parts and ":" not in name
        for folder in BELOW:
            for below in (relative, PurePosixPath(relative.name)) if inside else (PurePosixPath(relative.name),):
                path = self._folder / folder / below
                if below.name and path.exists():
                    return path
        return None

    def _new(self, name: str) -> Path:
        self._made += 1
        folder = self._scratch / str(self._made) / name
        folder.mkdir(parents=True)
        return folder


def _mask(path: Path, use: FileUse) -> bytes:
    """The mask as ComfyUI has it, a gray PNG. Raises Rejected."""
    try:
        pixels = decode(path.read_bytes())
    except BadPicture as error:
        raise Rejected(f"The picture {path.name!r} cannot be read: {error}.") from None
    levels = _channel(path, pixels, use)
    return encode_png(np.ascontiguousarray(255 - levels if use.inverted else levels))


def _channel(path: Path, pixels: NDArray[np.uint8], use: FileUse) -> NDArray[np.uint8]:
    channels = pixels.shape[2]
    if use.channel == "alpha":
        if channels != 4:
            raise Rejected(
                f"{path.name!r} has no transparency, so that its mask is empty in ComfyUI. Paint one (right click, "
                f"Open in MaskEditor) and export again, or give a picture: --mask {use.node.id}=PATH."
            )
        return pixels[..., 3]
    return pixels[..., COLORS[use.channel] if channels > 2 else 0]
