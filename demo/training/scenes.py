"""Pictures of our own with fine texture: fur, hair, grass, leaves, cloth, stone, skin; from a seed, free of any right.

Packages with free licenses hold mostly smooth pictures; what a detailer is asked to draw is texture. Scenes are
painted at twice their size and averaged down, so that strands are as fine and as clean as rendered ones.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import ArrayLike

from farm.adapters.pictures import F32, U8

SIDE = 256
"""Pixels of width and height of a tile."""
PAINTED = 2 * SIDE
SUB = 4
"""Binary digits of a pixel's fraction in OpenCV's drawing calls."""

Scene = Callable[[np.random.Generator], U8]


def noise(rng: np.random.Generator, cell: float, octaves: int = 4, side: int = PAINTED) -> F32:
    """Smooth noise of mean 0 and deviation 1: random grids, enlarged, each half as coarse and as strong as the last."""
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        count = max(2, round(side / cell * 2**octave))
        grid = rng.standard_normal((count, count)).astype(np.float32)
        total += cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC) * 0.5**octave
    return np.asarray((total - total.mean()) / (total.std() + 1e-6), np.float32)


def color(rng: np.random.Generator, hue: float, spread: float = 12, saturation: float = 0.5, value: float = 0.6) -> F32:
    """An RGB color of [0, 255] about a hue of [0, 180) degrees as OpenCV counts them."""
    h = (hue + rng.uniform(-spread, spread)) % 180
    s, v = (float(np.clip(each + rng.uniform(-0.2, 0.2), 0.02, 0.98)) for each in (saturation, value))
    pixel = np.array([[[h, s * 255, v * 255]]], np.uint8)
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0], np.float32)


def ground(rng: np.random.Generator, hue: float) -> F32:
    """Something out of focus: what stands behind a scene."""
    low, high = color(rng, hue, value=0.25), color(rng, hue, 40, value=0.6)
    mix = 1 / (1 + np.exp(-noise(rng, rng.uniform(60, 250))[..., None]))
    return np.asarray(low + (high - low) * mix, np.float32)


def body(rng: np.random.Generator) -> tuple[F32, F32]:
    """A rounded shape: where it is (0 or 1), and how bright its surface is under a lamp (about 0.4 to 1.1)."""
    y, x = np.mgrid[0:PAINTED, 0:PAINTED].astype(np.float32) / PAINTED
    height = np.full((PAINTED, PAINTED), -1.0, np.float32)
    for _ in range(rng.integers(2, 6)):
        cx, cy, rx, ry = rng.uniform(0.1, 0.9), rng.uniform(0.2, 1.0), rng.uniform(0.15, 0.5), rng.uniform(0.15, 0.5)
        height = np.maximum(height, 1 - ((x - cx) / rx) ** 2 - ((y - cy) / ry) ** 2)
    inside = (height > 0).astype(np.float32)
    surface = _f32(cv2.GaussianBlur(np.sqrt(np.clip(height, 0, None)), (0, 0), 12))
    return inside, lit(_f32(surface * 120), rng, 0.7)


def lit(height: F32, rng: np.random.Generator, ambient: float = 0.55) -> F32:
    """Brightness of a relief under a lamp at the side; `height` in pixels."""
    down, right = np.gradient(height)
    angle = rng.uniform(0, 2 * np.pi)
    slope = right * np.cos(angle) + down * np.sin(angle)
    return np.asarray(ambient + 0.45 * (0.5 + slope) / np.sqrt(1 + right**2 + down**2), np.float32)


def strands(canvas: F32, roots: F32, ends: F32, bends: F32, colors: F32, widths: tuple[int, int]) -> F32:
    """Draw curved, tapering strands, each over those before it.

    Args:
        canvas: `[S, S, 3]`, painted on.   roots, ends, bends: `[N, 2]` (x, y); a strand is the parabola through them.
        colors: `[N, 3]`.   widths: in pixels, at the root and at the end.
    """
    picture = np.ascontiguousarray(canvas.clip(0, 255).astype(np.uint8))
    steps = np.linspace(0, 1, 6, dtype=np.float32)[None, :, None]
    points = (1 - steps) ** 2 * roots[:, None] + 2 * steps * (1 - steps) * bends[:, None] + steps**2 * ends[:, None]
    fixed = np.round(points * (1 << SUB)).astype(np.int32)
    for line, paint in zip(fixed, colors.tolist(), strict=True):
        if widths[0] > 1:
            cv2.polylines(picture, [line[:4]], False, paint, widths[0], cv2.LINE_AA, SUB)
        cv2.polylines(picture, [line[2:] if widths[0] > 1 else line], False, paint, widths[1], cv2.LINE_AA, SUB)
    return picture.astype(np.float32)


def small(canvas: F32) -> U8:
    """The finished tile."""
    down = cv2.resize(canvas, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(np.round(down), 0, 255), np.uint8)


def _f32(values: ArrayLike) -> F32:
    return np.asarray(values, np.float32)


def _at(field: F32, points: F32) -> F32:
    index = np.clip(points.astype(np.int64), 0, field.shape[0] - 1)
    return np.asarray(field[index[:, 1], index[:, 0]], np.float32)


def fur(rng: np.random.Generator) -> U8:
    """A furry body before something out of focus."""
    canvas = ground(rng, rng.uniform(0, 180))
    inside, light = body(rng)
    hue, saturation, value = rng.uniform(0, 180), rng.uniform(0.05, 0.5), rng.uniform(0.35, 0.9)
    base = color(rng, hue, 5, saturation, value)
    tone = light + 0.08 * noise(rng, 90, 3)
    canvas = np.where(inside[..., None] > 0, base * tone[..., None], canvas)
    roots = rng.uniform(0, PAINTED, (int(rng.integers(5000, 12000)), 2)).astype(np.float32)
    roots = roots[_at(inside, roots) > 0]
    roots = roots[np.argsort(roots[:, 1])]
    way = rng.uniform(0, 2 * np.pi) + 0.9 * _at(noise(rng, 220, 3), roots) + rng.normal(0, 0.25, len(roots))
    length = rng.uniform(10, 34) * rng.uniform(0.6, 1.3, len(roots))
    reach = np.stack([np.cos(way), np.sin(way)], 1) * length[:, None]
    sag = rng.normal(0, 0.2, roots.shape) * length[:, None]
    contrast = rng.uniform(0.05, 0.16)
    shade = _at(tone, roots) * (1 + contrast * rng.standard_normal(len(roots)))
    colors = base * shade[:, None].astype(np.float32)
    ends, bends = _f32(roots + reach), _f32(roots + reach / 2 + sag)
    return small(strands(canvas, roots, ends, bends, colors, (1, 1)))


def hair(rng: np.random.Generator) -> U8:
    """Long strands that run beside each other in locks."""
    hue, value = rng.choice([8.0, 14.0, 20.0, rng.uniform(0, 180)]), rng.uniform(0.15, 0.75)
    base = color(rng, hue, 4, 0.5, value)
    canvas = ground(rng, hue) * 0.4
    count, locks = int(rng.integers(1500, 3500)), int(rng.integers(8, 26))
    lock = rng.integers(0, locks, count)
    way = rng.uniform(0, 2 * np.pi)
    along, across = (np.array([np.cos(a), np.sin(a)], np.float32) for a in (way, way + np.pi / 2))
    middle, bow = rng.uniform(-0.75, 0.75, locks)[lock] * PAINTED, rng.normal(0, 70, locks)[lock]
    spread = rng.normal(0, 18, count)
    center = np.float32(PAINTED / 2)
    roots = center + along * -PAINTED * 0.8 + across * (middle + 0.6 * spread)[:, None]
    ends = center + along * PAINTED * 0.8 + across * (middle + 1.6 * spread)[:, None]
    bends = (roots + ends) / 2 + across * (2 * bow + 0.5 * spread)[:, None]
    glint = 1 + 0.35 * np.sin(middle / 40) + 0.2 * rng.standard_normal(count) + 0.2 * rng.standard_normal(locks)[lock]
    colors = (base * glint[:, None]).clip(4, 250).astype(np.float32)
    painted = strands(_f32(canvas), _f32(roots), _f32(ends), _f32(bends), colors, (1, 1))
    shine = 1 + 0.25 * noise(rng, 200, 2)[..., None]
    return small(np.asarray(painted * shine, np.float32))


def grass(rng: np.random.Generator) -> U8:
    """Blades, the near ones over the far ones."""
    hue = rng.uniform(22, 55)
    canvas = ground(rng, hue) * 0.6
    count = int(rng.integers(900, 3000))
    roots = rng.uniform([0, 0.1 * PAINTED], [PAINTED, 1.35 * PAINTED], (count, 2)).astype(np.float32)
    roots = roots[np.argsort(roots[:, 1])]
    lean = rng.normal(rng.uniform(-0.5, 0.5), 0.35, count) + 0.35 * _at(noise(rng, 200, 2), roots)
    length = rng.uniform(40, 130) * rng.uniform(0.5, 1.3, count) * (0.5 + roots[:, 1] / PAINTED)
    ends = roots + np.stack([np.sin(lean), -np.cos(lean)], 1) * length[:, None]
    bends = roots + np.stack([0.2 * np.sin(lean), -0.6 * np.ones(count)], 1) * length[:, None]
    palette = np.stack([color(rng, hue, 10, 0.65, rng.uniform(0.3, 0.8)) for _ in range(24)])
    near = 0.55 + 0.6 * np.clip(roots[:, 1] / PAINTED, 0, 1)
    colors = palette[rng.integers(0, len(palette), count)] * (near * rng.uniform(0.75, 1.2, count))[:, None]
    thick = int(rng.integers(2, 5))
    return small(strands(_f32(canvas), roots, _f32(ends), _f32(bends), _f32(colors.clip(0, 255)), (thick, 1)))


def leaves(rng: np.random.Generator) -> U8:
    """Leaves with veins, lying over each other."""
    hue = rng.uniform(15, 75)
    canvas = np.ascontiguousarray((ground(rng, hue) * 0.5).clip(0, 255).astype(np.uint8))
    turn = np.linspace(0, 2 * np.pi, 28, dtype=np.float32)
    for layer in np.linspace(0.45, 1.0, int(rng.integers(60, 220))):
        length, width = rng.uniform(18, 70), rng.uniform(0.25, 0.5)
        shape = np.stack([np.cos(turn), np.sin(turn) * width * (1 - 0.4 * np.cos(turn))], 1) * length
        way, at = rng.uniform(0, 2 * np.pi), rng.uniform(0, PAINTED, 2)
        spin = np.array([[np.cos(way), np.sin(way)], [-np.sin(way), np.cos(way)]])
        paint = color(rng, hue, 14, 0.6, 0.55) * float(layer)
        outline = np.round((shape @ spin + at) * (1 << SUB)).astype(np.int32)
        vein = np.round((np.array([[-length, 0], [length, 0]]) @ spin + at) * (1 << SUB)).astype(np.int32)
        cv2.fillPoly(canvas, [outline], paint.tolist(), cv2.LINE_AA, SUB)
        cv2.polylines(canvas, [outline[:14]], False, (paint * 1.3).clip(0, 255).tolist(), 1, cv2.LINE_AA, SUB)
        cv2.polylines(canvas, [vein], False, (paint * 0.7).tolist(), 1, cv2.LINE_AA, SUB)
    return small(canvas.astype(np.float32))


def cloth(rng: np.random.Generator) -> U8:
    """Woven threads over folds."""
    y, x = np.mgrid[0:PAINTED, 0:PAINTED].astype(np.float32)
    folds = noise(rng, rng.uniform(120, 300), 2)
    pitch, way = rng.uniform(5, 14), rng.uniform(0, np.pi)
    u = x * np.cos(way) + y * np.sin(way) + 5 * folds
    v = -x * np.sin(way) + y * np.cos(way) + 5 * np.roll(folds, 31, 0)
    over = np.sin(np.pi * u / pitch) * np.sin(np.pi * v / pitch) > 0
    thread = np.where(over, np.abs(np.sin(np.pi * u / pitch)), np.abs(np.sin(np.pi * v / pitch)))
    first, second = (color(rng, rng.uniform(0, 180)) for _ in range(2))
    paint = np.where((over & (rng.random() < 0.6))[..., None], first, second)
    bright = lit(folds * 14, rng) * (0.65 + 0.35 * thread) * (1 + 0.06 * noise(rng, 6, 2))
    return small(np.asarray(paint * bright[..., None], np.float32))


def stone(rng: np.random.Generator) -> U8:
    """Stone, bark or plaster: a rough relief under a lamp."""
    rough = noise(rng, rng.uniform(30, 160), 6)
    stretched = cv2.resize(rough, None, fx=float(rng.choice([1, 1, 2, 3])), fy=1)[:, :PAINTED]
    height = 1 - np.abs(stretched) if rng.random() < 0.5 else stretched
    low, high = color(rng, rng.uniform(0, 180), saturation=0.25), color(rng, rng.uniform(0, 180), saturation=0.3)
    mix = 1 / (1 + np.exp(-noise(rng, 120)[..., None]))
    paint = low + (high - low) * mix
    relief = lit(_f32(height * rng.uniform(3, 12)), rng)
    return small(_f32(paint * relief[..., None] * 1.2))


def skin(rng: np.random.Generator) -> U8:
    """Skin, clay or fruit: a rounded shape with pores, freckles and a glint."""
    inside, light = body(rng)
    base = color(rng, rng.choice([6.0, 9.0, 12.0, rng.uniform(0, 180)]), 4, 0.4, 0.75)
    pores = noise(rng, rng.uniform(6, 12), 2)
    relief = lit(pores * rng.uniform(0.2, 0.7), rng, 0.75)
    freckles = 1 - 0.12 * (noise(rng, 14, 2) > 1.9)
    glint = 60 * np.clip(light - 0.95, 0, None) * (1 + 0.3 * pores)
    painted = base * (light * relief * freckles * (1 + 0.04 * noise(rng, 60)))[..., None] + glint[..., None]
    return small(np.where(inside[..., None] > 0, painted, ground(rng, rng.uniform(0, 180))))


SCENES: dict[str, tuple[Scene, float]] = {
    "fur": (fur, 0.3),
    "grass": (grass, 0.2),
    "hair": (hair, 0.1),
    "leaves": (leaves, 0.14),
    "cloth": (cloth, 0.06),
    "stone": (stone, 0.12),
    "skin": (skin, 0.08),
}
"""What there is, and its share among the scenes."""
