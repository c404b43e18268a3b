"""Cut what was fetched into sharp tiles of 256 pixels, and animated sprites into strips."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.lib.format import open_memmap
from PIL import Image, UnidentifiedImageError

from demo.training.scenes import SCENES, SIDE, ground
from demo.training.sources import Kind, Package, Pictures
from farm.adapters.pictures import F32, U8
from farm.errors import Rejected

TILES = "tiles.npy"
WORDS = "tiles.json"
STRIPS = "strips.npy"
FRAMES = 16
"""Frames of a strip."""
STRIP_SIDE = 128
"""Pixels of width and height of an animated sprite."""
LEAST_SLOPE = 3.0
"""Levels per pixel, mean over both directions: a tile with less holds nothing to learn from."""
LEAST_FINE = 0.08
"""Share of slopes that halving a tile's size takes away: a tile with less is soft itself."""
TRIES = 6
"""Cuts of a picture before it is given up."""

Found = Sequence[tuple[Package, Pictures, Sequence[Path]]]


class NoPictures(Rejected):
    """There is nothing to train on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} holds no {TILES}; training needs the tiles that `python -m demo.training prepare --work "
            f"{folder}` cuts. Run it first, or name another folder with --work."
        )


@dataclass(frozen=True)
class Tiles:
    """What `prepare` left behind."""

    pixels: U8
    """`[N, 256, 256, 3]`, mapped from the disk."""
    words: tuple[str, ...]
    """What each shows."""
    strips: U8
    """`[M, 16, 128, 128, 4]`, animated sprites; M may be 0."""


def load_tiles(folder: Path) -> Tiles:
    """What `prepare` wrote into `folder`.

    Raises:
        NoPictures: it wrote nothing there.
    """
    if not (folder / TILES).is_file():
        raise NoPictures(folder)
    words = json.loads((folder / WORDS).read_text())
    pixels, strips = (np.load(folder / name, mmap_mode="r") for name in (TILES, STRIPS))
    return Tiles(pixels, tuple(words), strips)


def write_tiles(folder: Path, found: Found, count: int, seed: int, told: Callable[[], None]) -> dict[str, int]:
    """Cut `count` tiles; how many came from where.

    Args:
        found: pictures by package.   seed: decides every cut.   told: called after each tile.
    """
    rng = np.random.default_rng(seed)
    pixels = open_memmap(folder / TILES, mode="w+", dtype=np.uint8, shape=(count, SIDE, SIDE, 3))
    words: list[str] = []
    counts: dict[str, int] = {}
    for name, phrase, tile in _interleaved(found, count, rng):
        pixels[len(words)] = tile
        words.append(phrase)
        counts[name] = counts.get(name, 0) + 1
        told()
    pixels.flush()
    (folder / WORDS).write_text(json.dumps(words))
    return counts


def _interleaved(found: Found, count: int, rng: np.random.Generator) -> Iterator[tuple[str, str, U8]]:
    """Tiles of all sources in the proportions of their shares, in a random order."""
    still = [(package, pictures, files) for package, pictures, files in found if pictures.kind is not Kind.MOTION]
    streams = [_cuts(files, pictures.kind, rng) for _, pictures, files in still]
    names, phrases = [package.name for package, _, _ in still], [pictures.words for _, pictures, _ in still]
    shares = [pictures.share if files else 0.0 for _, pictures, files in still]
    left = 1 - sum(shares)
    for name, (scene, share) in SCENES.items():
        streams.append(_painted(scene, rng))
        names.append(f"scene: {name}")
        phrases.append(f"3d render of {name}")
        shares.append(left * share)
    odds = np.array(shares) / sum(shares)
    for _ in range(count):
        index = int(rng.choice(len(streams), p=odds))
        yield names[index], phrases[index], next(streams[index])


def _painted(scene: Callable[[np.random.Generator], U8], rng: np.random.Generator) -> Iterator[U8]:
    while True:
        yield scene(rng)


def _cuts(files: Sequence[Path], kind: Kind, rng: np.random.Generator) -> Iterator[U8]:
    """Tiles of a source for ever; pictures in a random order, again and again."""
    while True:
        for index in rng.permutation(len(files)):
            picture = read_picture(files[int(index)])
            if picture is None:
                continue
            for _ in range(TRIES):
                tile = _photo(picture, rng) if kind is Kind.PHOTO else _sprite(picture, rng)
                if is_sharp(tile):
                    yield tile
                    break


def read_picture(path: Path) -> U8 | None:
    """`[H, W, 4]`, RGB and opacity; None for what is no picture or is too small to be cut."""
    try:
        with Image.open(path) as file:
            if min(file.size) < 64:
                return None
            file.thumbnail((1600, 1600), Image.Resampling.LANCZOS)
            return np.asarray(file.convert("RGBA"))
    except (UnidentifiedImageError, OSError, SyntaxError):
        # SyntaxError: what Pillow raises for a broken PNG.
        return None


def is_sharp(tile: U8) -> bool:
    """Whether a tile has slopes, and fine ones among them."""
    gray = cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY).astype(np.float32)
    slope = float(np.abs(np.diff(gray, axis=0)).mean() + np.abs(np.diff(gray, axis=1)).mean())
    half = cv2.resize(gray, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(half, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return slope > LEAST_SLOPE and float(np.abs(gray - coarse).mean()) / slope > LEAST_FINE


def _photo(picture: U8, rng: np.random.Generator) -> U8:
    """A cut at a random scale between the whole picture and its own pixels."""
    height, width = picture.shape[:2]
    largest = min(height, width)
    side = int(np.exp(rng.uniform(np.log(min(SIDE, largest)), np.log(largest))))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    cut = picture[top : top + side, left : left + side, :3]
    return _turned(_scaled(cut, SIDE, SIDE), rng)


def _sprite(picture: U8, rng: np.random.Generator) -> U8:
    """A sprite, or a part of it, before a scene or something out of focus."""
    if rng.random() < 0.5:
        names = list(SCENES)
        canvas = SCENES[names[int(rng.integers(len(names)))]][0](rng).astype(np.float32)
    else:
        behind = cv2.resize(ground(rng, rng.uniform(0, 180)), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        canvas = np.asarray(behind, np.float32)
    # Never enlarged: what is sharp at its own size is not at a larger one.
    scale = min(1.0, float(np.exp(rng.uniform(np.log(0.5), np.log(1.6)))) * SIDE / max(picture.shape[:2]))
    height, width = (max(8, round(side * scale)) for side in picture.shape[:2])
    sprite = _turned(_scaled(picture, width, height), rng)
    for _ in range(int(rng.integers(1, 3))):
        top, left = (int(rng.uniform(-0.3, 1.3) * (SIDE - side)) for side in sprite.shape[:2])
        lay(canvas, sprite, top, left)
    return np.clip(np.round(canvas), 0, 255).astype(np.uint8)


def lay(canvas: F32, sprite: U8, top: int, left: int) -> None:
    """Paint a sprite `[h, w, 4]` onto `[H, W, 3]`; it may hang over the edges."""
    height, width = canvas.shape[:2]
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + sprite.shape[0], height), min(left + sprite.shape[1], width)
    if y1 <= y0 or x1 <= x0:
        return
    part = sprite[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.float32)
    opacity = part[..., 3:] / 255
    canvas[y0:y1, x0:x1] = (1 - opacity) * canvas[y0:y1, x0:x1] + opacity * part[..., :3]


def _scaled(picture: U8, width: int, height: int) -> U8:
    smaller = picture.shape[1] > width
    kernel = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=kernel), np.uint8)


def _turned(picture: U8, rng: np.random.Generator) -> U8:
    return np.ascontiguousarray(picture[:, ::-1]) if rng.random() < 0.5 else picture


def write_strips(folder: Path, found: Found, count: int, seed: int) -> int:
    """Keep up to `count` animated sprites; how many there were."""
    rng = np.random.default_rng(seed)
    files = [path for _, pictures, paths in found if pictures.kind is Kind.MOTION for path in paths]
    strips: list[U8] = []
    for index in rng.permutation(len(files)):
        if len(strips) == count:
            break
        strip = read_strip(files[int(index)], rng)
        if strip is not None:
            strips.append(strip)
    np.save(folder / STRIPS, np.stack(strips) if strips else np.zeros((0, FRAMES, STRIP_SIDE, STRIP_SIDE, 4), np.uint8))
    return len(strips)


def read_strip(path: Path, rng: np.random.Generator) -> U8 | None:
    """`[16, 128, 128, 4]` of an animation; None for one that is too short."""
    with Image.open(path) as file:
        total = int(getattr(file, "n_frames", 1))
        if total < FRAMES:
            return None
        first = int(rng.integers(total - FRAMES + 1))
        frames = []
        for number in range(first, first + FRAMES):
            file.seek(number)
            frames.append(_scaled(np.asarray(file.convert("RGBA")), STRIP_SIDE, STRIP_SIDE))
    return np.stack(frames)
