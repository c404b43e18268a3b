"""From a crop to its patch, around the model: what is scaled when, which mask and which seed the sampler is given.

The models themselves come in as `LatentTools`, so that every engine goes the same way. Source: SPEC 6, 7.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np

from farm.detail.blend import Pixels, feather
from farm.detail.box import Box
from farm.detail.hooks import Chain
from farm.detail.resample import Mask, resize_mask
from farm.errors import CropTooSmall

SEEDS = 2**64
"""Number of seeds; what counts up beyond the last begins at 0 again."""

Resize = Callable[[Pixels, int, int], Pixels]
"""`resize(pixels, width, height)`: Lanczos through 8 bits, also when the size stays the same (SPEC 3.2)."""

L = TypeVar("L")


@dataclass(frozen=True, eq=False)
class CropInput:
    """One crop to repaint."""

    pixels: Pixels
    """float32 `[h, w, 3]` in 0..1, at source scale."""
    noise_mask: Mask | None
    """float32 `[h, w]`, feathered, of the size of `pixels`: where the latent may change. None: everywhere."""
    size: tuple[int, int]
    """Width, height in pixels at which it is sampled."""
    seed: int
    """Of the first cycle."""
    frame: int
    """Position in the clip."""
    prompt: tuple[str, ...] = ()
    """Texts whose conditionings are laid one behind the other; none: the detailer's prompt."""
    toward: tuple[str, ...] = ()
    """Texts that they fade into."""
    share: float = 0.0
    """How far, from 0 to below 1."""
    controls: tuple[Pixels, ...] = ()
    """What each ControlNet is shown, `[h, w, 3]` in 0..1, of any size."""
    references: tuple[Pixels, ...] = ()
    """What each IP-Adapter is shown, `[h, w, 3]` in 0..1, of any size."""
    conditionings: tuple[Mask, ...] = ()
    """Where each further prompt counts, `[h, w]` in 0..1, of any size."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Crops of one batch, made ready for a model: what needs none can be done before its turn comes."""

    pixels: Sequence[Pixels]
    """At the sampling size, `[H, W, 3]` each, in order."""
    masks: Sequence[Mask | None]
    """As `sampler_mask` gives them."""


class LatentTools(Protocol[L]):
    """What a model can do. `L` is its batch of latents, one per crop, in order."""

    @property
    def factor(self) -> int:
        """Pixels per latent pixel and side."""

    def encode(self, pixels: Sequence[Pixels]) -> L:
        """Latents of pictures of one size; what exceeds a multiple of `factor` is cut, equally on both sides."""

    def sample(self, latents: L, masks: Sequence[Mask] | None, seeds: Sequence[int], concat: L | None) -> L:
        """Add noise by `seeds`, sample. Masks still have to be scaled to the latent; `concat` is for inpaint models."""

    def decode(self, latents: L) -> Sequence[Pixels]:
        """Pictures `[H, W, 3]` in 0..1."""


def conditioning_mask(mask: Mask, region: Box, picture: tuple[int, int]) -> Mask:
    """The part of a further prompt's mask that belongs to a crop.

    Args:
        mask: `[H, W]` for the whole picture, of any size.
        picture: height, width of the picture that `region` lies in.
    Returns:
        `[h, w]`; a single 0 where nothing of the mask is left.
    Source:
        SPEC 5 (f), as the node does it: columns are scaled by the ratio of heights, rows by that of widths. (Its twin
        for clips takes the crop's size for the picture's; here both do the same.)
    """
    scales = mask.shape[0] / picture[0], mask.shape[1] / picture[1]
    x1, y1, x2, y2 = (round(value * scales[place % 2]) for place, value in enumerate(region))
    part = mask[y1:y2, x1:x2]
    return part if part.size else np.zeros((1, 1), dtype=np.float32)


def crop_seed(seed: int, segment: int = 0, variation: int = 0, cycle: int = 0) -> int:
    """The seed of one sampling of a segment.

    Args:
        seed: the job's, or the frame's.
        segment: position in the list of segments, skipped ones counted; 0 in `animatediff` jobs, where all share one.
        variation: number of the batch, from 0.   cycle: from 0.
    Source:
        SPEC 5 (e), 6.14, 9: the three are added, so one segment's second cycle has the seed of the next one's first.
    """
    return (seed + segment + variation + cycle) % SEEDS


def noise_mask(mask: Mask, noise_mask_feather: int, mask_mode: bool = True) -> Mask | None:
    """The latent's mask for a segment's mask `[h, w]`; None if the whole crop is repainted. Source: SPEC 5 (d), 6.1."""
    return feather(mask, noise_mask_feather) if mask_mode else None


def scale_up(crop: CropInput, resize: Resize) -> Pixels:
    """The crop at its sampling size, `[H, W, 3]`. Source: SPEC 6.10."""
    return resize(crop.pixels, crop.size[0], crop.size[1])


def scale_down(pixels: Pixels, width: int, height: int, resize: Resize) -> Pixels:
    """A decoded picture at source scale; what the decoder made smaller is stretched. Source: SPEC 6.15."""
    return resize(pixels, width, height)


def sampler_mask(crop: CropInput, animatediff: bool) -> Mask | None:
    """The noise mask as it is handed to the sampler, which scales it to the latent.

    In `animatediff` jobs it goes by way of the sampling size, in `mask` jobs straight from the crop's size: two
    bilinear steps are not one.
    """
    if crop.noise_mask is None or not animatediff:
        return crop.noise_mask
    return resize_mask(crop.noise_mask, crop.size[0], crop.size[1])


def prepare(crops: Sequence[CropInput], resize: Resize, animatediff: bool = False) -> Prepared:
    """The part of `enhance` that comes before the model."""
    return Prepared([scale_up(crop, resize) for crop in crops], [sampler_mask(crop, animatediff) for crop in crops])


def inpaint_pixels(pixels: Pixels, mask: Mask, factor: int = 8) -> tuple[Pixels, Mask]:
    """What an inpaint model is shown besides the latent: the picture with its masked part gray, and the mask.

    Args:
        pixels: `[H, W, 3]` at sampling size.   mask: `[h, w]` of any size.
        factor: pixels per latent pixel; both results are cut to whole latent pixels, equally on both sides.
    Source:
        SPEC 6.12.
    """
    height, width = pixels.shape[:2]
    mask = resize_mask(mask, width, height)
    rows, columns = _whole(height, factor), _whole(width, factor)
    pixels, mask = pixels[rows, columns], mask[rows, columns]
    half = np.float32(0.5)
    return (pixels - half) * (np.float32(1) - np.round(mask))[..., None] + half, mask


def enhance(
    crops: Sequence[CropInput],
    tools: LatentTools[L],
    resize: Resize,
    cycle: int = 1,
    animatediff: bool = False,
    inpaint_model: bool = False,
    hooks: Chain[L] | None = None,
    prepared: Prepared | None = None,
) -> list[Pixels]:
    """The patches of crops of one sampling size, in order, each `[h, w, 3]` at its crop's size in steps of 1/255.

    Args:
        crops: of one batch; with `animatediff` the frames of one segment.
        cycle: times that the latent is sampled, each time with fresh noise by the next seed.
        inpaint_model: the model takes a masked picture besides; without effect for crops without a noise mask.
        hooks: called on the way; `pre_ksample` and `get_custom_noise` by `tools`, which know the parameters.
        prepared: what `prepare` makes of the crops, where that was done before; of no use if a hook changes their size.
    Raises:
        CropTooSmall: a side has less than one latent pixel.
    """
    hooks = Chain() if hooks is None else hooks
    size = hooks.touch_scaled_size(crops[0].size)
    if min(size) < tools.factor:
        raise CropTooSmall("sampling size", size, tools.factor)
    if prepared is None or size != crops[0].size:
        prepared = prepare([replace(crop, size=size) for crop in crops], resize, animatediff)
    pixels = prepared.pixels
    masks = [mask for mask in prepared.masks if mask is not None] or None
    concat: L | None = None
    if inpaint_model and masks:
        pairs = [inpaint_pixels(shown, mask, tools.factor) for shown, mask in zip(pixels, masks, strict=True)]
        masks = [mask for _, mask in pairs]
        concat = tools.encode([shown for shown, _ in pairs])
    latents = hooks.post_encode(tools.encode(pixels))
    for number in range(cycle):
        latents = hooks.begin_cycle(number, cycle, latents)
        latents = tools.sample(latents, masks, [crop_seed(crop.seed, cycle=number) for crop in crops], concat)
    decoded = hooks.post_decode(tools.decode(hooks.pre_decode(latents)))
    return [
        scale_down(picture, crop.pixels.shape[1], crop.pixels.shape[0], resize)
        for picture, crop in zip(decoded, crops, strict=True)
    ]


def _whole(side: int, factor: int) -> slice:
    start = side % factor // 2
    return slice(start, start + side // factor * factor)
