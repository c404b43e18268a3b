from io import BytesIO
from pathlib import Path
from struct import pack as packed
from zlib import compress, crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from farm.adapters.pictures import (
    BadPicture,
    PictureTooLarge,
    decode,
    decode_mask,
    decode_rgb,
    digest,
    encode_png,
    from_8bit,
    lanczos,
    picture_size,
    to_8bit,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "vectors" / "impact"
NOISE = np.random.default_rng(7).integers(0, 256, (13, 17, 4), dtype=np.uint8)


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def png_header_only(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return packed(">I", len(data)) + kind + data + packed(">I", crc32(kind + data))

    header = packed(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_gives_back_the_pixels_it_was_made_of(channels: int) -> None:
    pixels = NOISE[..., :channels]
    assert np.array_equal(decode(encode_png(pixels)), pixels)


def test_the_same_pixels_make_the_same_bytes() -> None:
    assert encode_png(NOISE) == encode_png(np.asfortranarray(NOISE))


@pytest.mark.parametrize(("shape", "dtype"), [((2, 2, 2), np.uint8), ((2, 2, 3), np.float32), ((4,), np.uint8)])
def test_only_8_bit_pictures_are_encoded(shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(ValueError, match="must be uint8"):
        encode_png(np.zeros(shape, dtype))


def test_a_bomb_is_refused_by_its_header_and_the_message_says_what_to_change() -> None:
    with pytest.raises(
        PictureTooLarge, match=r"30000x30000, 900,000,000 pixels; at most 100,000,000 .* FARM_MAX_PIXELS"
    ):
        decode(png_header_only(30_000, 30_000))


def test_a_picture_between_the_librarys_limit_and_ours_passes_without_a_warning() -> None:
    assert picture_size(png_header_only(9_500, 10_000)) == (9_500, 10_000)


def test_the_limit_is_the_callers() -> None:
    with pytest.raises(PictureTooLarge, match="17x13, 221 pixels; at most 220 "):
        decode(encode_png(NOISE), max_pixels=220)
    assert decode(encode_png(NOISE), max_pixels=221).shape == (13, 17, 4)


@pytest.mark.parametrize("data", [b"", b"not a picture", b"GIF89a" + bytes(40), b"\x89PNG\r\n\x1a\n", b"<svg/>"])
def test_what_is_no_picture_is_rejected(data: bytes) -> None:
    with pytest.raises(BadPicture, match="PNG, JPEG, WebP or TIFF"):
        decode(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_file_cut_short_is_rejected(kind: str) -> None:
    data = saved(Image.fromarray(np.tile(NOISE[..., :3], (9, 9, 1))), kind)
    with pytest.raises(BadPicture):
        decode(data[: len(data) // 2])


@given(at=st.integers(8, 700), value=st.integers(0, 255), kind=st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF"]))
def test_a_damaged_byte_never_raises_anything_else(at: int, value: int, kind: str) -> None:
    data = bytearray(saved(Image.fromarray(NOISE[..., :3]), kind))
    data[at % len(data)] = value
    try:
        decode(bytes(data))
    except (BadPicture, PictureTooLarge):
        pass
    except Warning:  # the library warns of odd tags; a warning is an error in these tests only
        pass


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF"])
def test_other_formats_are_read_as_frames(kind: str) -> None:
    assert decode_rgb(saved(Image.new("RGB", (16, 8), (200, 100, 50)), kind)).shape == (8, 16, 3)


def test_a_palette_becomes_rgb_and_with_transparency_rgba() -> None:
    picture = Image.fromarray(NOISE[..., :3]).quantize(16)
    assert np.array_equal(decode(saved(picture)), np.asarray(picture.convert("RGB")))
    assert decode(saved(picture, transparency=0)).shape == (13, 17, 4)


def test_16_bits_become_the_upper_8() -> None:
    gray = np.array([[0, 255, 256, 257 * 77, 65535]], np.uint16)
    assert decode(saved(Image.fromarray(gray)))[..., 0].tolist() == [[0, 0, 1, 77, 255]]


def test_16_bits_per_color_become_the_upper_8() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return packed(">I", len(data)) + kind + data + packed(">I", crc32(kind + data))

    row = b"\0" + packed(">6H", 0, 255, 256, 257 * 77, 65535, 30000)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", packed(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
    pixels = decode(data + chunk(b"IDAT", compress(row)) + chunk(b"IEND", b""))
    assert pixels.tolist() == [[[0, 0, 1], [77, 255, 117]]]


def test_pictures_of_floats_are_rejected() -> None:
    with pytest.raises(BadPicture, match="32 bits"):
        decode(saved(Image.new("F", (2, 2)), "TIFF"))


def test_alpha_is_dropped_from_frames_and_gray_repeated() -> None:
    assert np.array_equal(decode_rgb(encode_png(NOISE)), NOISE[..., :3])
    gray = decode_rgb(encode_png(NOISE[..., 0]))
    assert np.array_equal(gray, np.repeat(NOISE[..., :1], 3, axis=2))


def test_a_turned_photo_is_read_as_it_is_stored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(saved(Image.new("RGB", (16, 8)), "JPEG", exif=exif.tobytes())).shape == (8, 16, 3)


def test_a_1_bit_mask_is_0_and_1() -> None:
    mask = decode_mask(saved(Image.fromarray(NOISE[..., 0] > 127)))
    assert mask.dtype == np.float32
    assert np.array_equal(mask, (NOISE[..., 0] > 127).astype(np.float32))


@pytest.mark.parametrize(
    ("pixels", "channel"),
    [
        pytest.param(NOISE[..., :1], 0, id="gray: its value"),
        pytest.param(NOISE[..., :3], 0, id="color: red"),
        pytest.param(NOISE, 0, id="color with alpha: red"),
        pytest.param(np.where([1, 1, 1, 0], np.uint8(255), NOISE), 3, id="one color with alpha: alpha"),
        pytest.param(np.where([0, 0, 0, 1], np.uint8(255), 0 * NOISE), 0, id="black and opaque: nothing is masked"),
        pytest.param(np.where([1, 1, 1, 0], np.uint8(255), 0 * NOISE), 3, id="clear all over: nothing is masked"),
    ],
)
def test_a_mask_is_taken_from_the_channel_that_holds_it(pixels: np.ndarray, channel: int) -> None:
    assert np.array_equal(decode_mask(encode_png(pixels)), from_8bit(pixels[..., channel]))


def test_every_8_bit_value_survives_the_way_through_floats() -> None:
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_8bit(from_8bit(levels)), levels)


def test_floats_are_cut_off_not_rounded() -> None:
    assert to_8bit(np.array([-0.5, 0.999 / 255, 254.999 / 255, 1.5], np.float32)).tolist() == [0, 0, 254, 255]


def in_color(path: Path) -> bool:
    with np.load(path) as vector:
        return bool(vector["in_image"].shape[-1] == 3)


RESIZED = [path for path in sorted(GOLDEN.glob("resize_*.npz")) if in_color(path)]


@pytest.mark.parametrize("path", RESIZED, ids=lambda path: path.stem)
def test_lanczos_is_the_original_nodes_resize_to_the_bit(path: Path) -> None:
    with np.load(path) as vector:
        image, wanted = vector["in_image"], vector["out_image"]
    for frame, out in zip(image, wanted, strict=True):
        assert np.array_equal(lanczos(frame, out.shape[1], out.shape[0]), out)


def test_lanczos_goes_through_8_bits_also_at_the_same_size() -> None:
    assert lanczos(np.full((2, 2, 3), 0.5, np.float32), 2, 2)[0, 0, 0] == np.float32(127) / np.float32(255)


def test_a_digest_tells_shape_and_type_apart_and_ignores_memory_order() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    others = [pixels.reshape(4, 2, 3), pixels.astype(np.int8), pixels + 1]
    assert len({digest(pixels), *map(digest, others)}) == 4
    assert digest(np.asfortranarray(pixels)) == digest(pixels)
