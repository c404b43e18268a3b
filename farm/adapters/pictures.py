"""Pictures as bytes, pictures as numbers: PNG in and out, with limits, and the one resize that the nodes use."""

import hashlib
import struct
import zlib
from io import BytesIO
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from farm.errors import Rejected, TooLarge

U8: TypeAlias = NDArray[np.uint8]
F32: TypeAlias = NDArray[np.float32]

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")
"""What is read. Every further format of the library is a further parser of strangers' bytes."""

_HEADS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*")

MAX_PIXELS = 100_000_000
"""Pixels of one picture unless the caller says otherwise: 12K is 80 million. As RGBA this is 400 MB."""

PNG_LEVEL = 1
"""zlib level 1 to 9. A 1280x720 frame takes 57 ms and 1.19 MB at 1, 214 ms and 1.08 MB at 6."""

# The library's own guard warns at 89 million pixels and cannot be set for one call; `_open` has a stricter one.
Image.MAX_IMAGE_PIXELS = None

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, OverflowError, struct.error, zlib.error)
"""What the library raises for damaged bytes, as found by feeding it some."""


class BadPicture(Rejected):
    """Bytes that are no picture, or a kind of picture that the farm does not take."""

    def __init__(self, fault: str) -> None:
        super().__init__(
            f"The picture cannot be used: {fault}. Give a PNG, JPEG, WebP or TIFF file with 8 or 16 bits per channel."
        )


class PictureTooLarge(TooLarge):
    """A picture with more pixels than the farm decodes."""

    def __init__(self, width: int, height: int, allowed: int) -> None:
        super().__init__(
            f"The picture is {width}x{height}, {width * height:,} pixels; at most {allowed:,} are decoded. "
            f"Scale it down, or raise FARM_MAX_PIXELS (memory: about 8 bytes per pixel)."
        )


def encode_png(pixels: U8) -> bytes:
    """An 8-bit PNG of `[H, W]`, `[H, W, 1]` (gray), `[H, W, 3]` (RGB) or `[H, W, 4]` (RGBA) uint8."""
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
        raise ValueError(f"pixels must be uint8 [H, W] or [H, W, 1|3|4], not {pixels.dtype} {pixels.shape}")
    flat = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    out = BytesIO()
    Image.fromarray(np.ascontiguousarray(flat)).save(out, "PNG", compress_level=PNG_LEVEL)
    return out.getvalue()


def encode_webp(pixels: U8, quality: int) -> bytes:
    """A WebP of `[H, W, 3]` uint8, for people to look at; `quality` from 1 to 100."""
    out = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "WEBP", quality=quality)
    return out.getvalue()


def has_picture_head(head: bytes) -> bool:
    """Whether a file that begins so, with 12 bytes at least, may be one of `FORMATS`."""
    return head.startswith(_HEADS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def picture_size(data: bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height in pixels, from the header alone. Raises as `decode`."""
    with _open(data, max_pixels) as picture:
        return picture.size


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> U8:
    """The pixels of a picture as they are stored: `[H, W, 1]` gray, `[H, W, 3]` RGB or `[H, W, 4]` RGBA, uint8.

    Palettes become RGB, or RGBA where they have transparency; 16 bits become their upper 8 (so k * 257 becomes k); 1
    bit becomes 0 and 255; CMYK becomes RGB without a color profile. Of an animation this is the first picture. Alpha
    is not multiplied in. Orientation tags are ignored: a mask has none, so turning the frame would part the two.

    Raises:
        PictureTooLarge: more than `max_pixels`, found in the header, before anything is decoded.
        BadPicture: damaged, cut short, an unknown format, or floating-point or 32-bit pixels.
    """
    with _open(data, max_pixels) as picture:
        try:
            return _pixels(picture)
        except _BROKEN as error:
            raise BadPicture(f"its {picture.format} data are damaged or cut short ({error})") from error


def decode_rgb(data: bytes, max_pixels: int = MAX_PIXELS) -> U8:
    """The colors of a picture, `[H, W, 3]` uint8: gray is repeated, alpha dropped, as ComfyUI loads images.

    Raises: as `decode`.
    """
    pixels = decode(data, max_pixels)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else np.ascontiguousarray(pixels[..., :3])


def decode_mask(data: bytes, max_pixels: int = MAX_PIXELS) -> F32:
    """A mask, `[H, W]` float32 in [0, 1], from whatever channel holds it.

    Gray: its value. Color: red, the usual channel of black-and-white masks stored as RGB. With alpha: red too, unless
    the whole picture has one color and is not opaque everywhere; then only the alpha can hold a drawing, and it is the
    mask, 1 where opaque. (ComfyUI's mask loader inverts alpha; here painted means detailed, for every kind of mask.)

    Raises: as `decode`.
    """
    pixels = decode(data, max_pixels)
    channel = 0
    if pixels.shape[2] == 4:
        one_color = bool((pixels[..., :3] == pixels[:1, :1, :3]).all())
        channel = 3 if one_color and bool((pixels[..., 3] < 255).any()) else 0
    return from_8bit(pixels[..., channel])


def to_8bit(image: F32) -> U8:
    """`image` in [0, 1] as 0..255, cut off, not rounded: as the original's nodes do (SPEC 3.1)."""
    scaled: F32 = np.clip(np.float32(255.0) * image, 0, 255)
    return scaled.astype(np.uint8)


def from_8bit(pixels: U8) -> F32:
    """0..255 as float32 in [0, 1]. `to_8bit` gives the same 0..255 back, for each of them (SPEC 3.1)."""
    return pixels.astype(np.float32) / np.float32(255.0)


def lanczos(image: F32, width: int, height: int) -> F32:
    """`image` `[h, w, 3]` float32 in [0, 1], resized to `[height, width, 3]` with Lanczos, through 8 bits.

    The way through 8 bits is part of the result: values are cut off to k/255 also when the size stays the same.

    Source:
        ComfyUI-Impact-Pack, tensor_resize; SPEC 3.2.
    """
    resized = Image.fromarray(to_8bit(np.ascontiguousarray(image))).resize((width, height), Image.Resampling.LANCZOS)
    return from_8bit(np.asarray(resized))


def digest(pixels: NDArray[np.generic]) -> str:
    """SHA-256, in hex, of what the pixels are: type, shape and values. How they were compressed does not count."""
    header = f"{pixels.dtype.str} {'x'.join(map(str, pixels.shape))}\n".encode()
    return hashlib.sha256(header + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _open(data: bytes, max_pixels: int) -> Image.Image:
    if not data:
        raise BadPicture("it is empty, 0 bytes")
    canvas = _webp_canvas(data)
    if canvas[0] * canvas[1] > max_pixels:
        raise PictureTooLarge(*canvas, max_pixels)
    try:
        picture = Image.open(BytesIO(data), formats=FORMATS)
    except _BROKEN as error:
        raise BadPicture(f"its {len(data):,} bytes begin with {data[:8]!r}, which no known format does") from error
    width, height = picture.size
    if width * height > max_pixels:
        picture.close()
        raise PictureTooLarge(width, height, max_pixels)
    return picture


def _webp_canvas(data: bytes) -> tuple[int, int]:
    """Width and height of a WebP, for whose pixels the library asks as it opens it; (0, 0) for all else."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return 0, 0
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        both = int.from_bytes(data[21:25], "little")
        return 1 + (both & 0x3FFF), 1 + (both >> 14 & 0x3FFF)
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def _pixels(picture: Image.Image) -> U8:
    mode = picture.mode
    if mode.startswith("I;16"):
        wide: NDArray[np.uint16] = np.asarray(picture)
        return (wide >> 8).astype(np.uint8)[..., None]
    if mode in ("I", "F"):
        raise BadPicture(f"its pixels have 32 bits (mode {mode})")
    if mode in ("1", "L"):
        return np.asarray(picture.convert("L"))[..., None]
    clear = mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info
    return np.asarray(picture.convert("RGBA" if clear else "RGB"))
