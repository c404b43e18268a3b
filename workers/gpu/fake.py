"""An engine without a model: deterministic pixels that depend on all that a real one's depend on.

For trying out a farm, and for tests of everything around the engine."""

from __future__ import annotations

import hashlib
import time

import numpy as np
from numpy.typing import NDArray

from farm.detail.blend import to_bytes
from farm.detail.enhance import CropInput
from farm.detail.hooks import Chain
from farm.domain.detailer import Detailer, JobType
from farm.domain.engine_names import ENGINE_VERSIONS
from farm.domain.hooks import key_part
from workers.gpu.batch import Batch, OnStep

Plane = NDArray[np.float32]

SHARPEN = 0.8
"""Share of the difference to the neighborhood's mean that is added at `denoise` 1."""
TINT = 0.12
"""How far the prompt moves the color, at `denoise` 1, of 1."""
GRAIN = 0.06
"""Half range of the seed's noise, at `denoise` 1, of 1."""
CONTROL = 0.1
"""How far what a ControlNet of strength 1 is shown moves the color, at `denoise` 1, of 1."""
GRAIN_PIXELS = 4
"""Side of one grain of noise, in pixels of the sampling size."""


class FakeEngine:
    """Sharpens, tints by the prompt and adds grain by the seed, inside the noise mask only."""

    def __init__(self, seconds_per_crop: float = 0.0) -> None:
        """
        Args:
            seconds_per_crop: time that a batch takes, for each of its crops (a segment of a frame): a detailer whose
                speed is known, so that what is measured is the farm around it.
        """
        self._seconds_per_crop = seconds_per_crop

    @property
    def name(self) -> str:
        """Name and version."""
        return ENGINE_VERSIONS["fake"]

    @property
    def device(self) -> str:
        """Always the CPU."""
        return "cpu"

    def prepare(self, batch: Batch) -> Batch:
        """There is nothing to prepare."""
        return batch

    def detail(self, batch: Batch, on_step: OnStep) -> list[NDArray[np.uint8]]:
        """See `workers.gpu.engine.Engine`. A patch depends on its own crop only, never on the others of the batch."""
        steps = batch.detailer.steps * batch.detailer.cycle
        begin = time.monotonic()
        # First, so that a batch takes the time that was asked for, as long as the CPU is not slower than that.
        changed = [_patch(crop, batch) for crop in batch.crops]
        for step in range(1, steps + 1):
            due = begin + self._seconds_per_crop * len(batch.crops) * step / steps
            time.sleep(max(0.0, due - time.monotonic()))
            on_step(step, steps)
        for cycle in range(batch.detailer.cycle):
            for hook in batch.plugins:
                hook.set_steps(cycle, batch.detailer.cycle)
        pictures = Chain(batch.plugins).post_decode(changed)
        return [to_bytes(picture) for picture in pictures]


def _patch(crop: CropInput, batch: Batch) -> Plane:
    detailer = batch.detailer
    pixels = np.asarray(crop.pixels, dtype=np.float32)
    change = SHARPEN * (pixels - _mean_of_neighbors(pixels)) + _prompted(batch) + _grain(crop, batch)
    for use, picture in zip(batch.controls, crop.controls, strict=True):
        change = change + np.float32(CONTROL * use.strength) * (_spread(picture, pixels) - np.float32(0.5))
    for seen, picture in zip(batch.image_prompts, crop.references, strict=True):
        change = change + np.float32(CONTROL * seen.weight) * (picture.mean(axis=(0, 1)) - np.float32(0.5))
    for further, mask in zip(batch.conditionings, crop.conditionings, strict=True):
        share = np.float32(further.strength) * _spread(mask, pixels)[..., None]
        change = change + _tint(repr((further.prompt, further.negative))) * share / (1 + share)
    if crop.noise_mask is not None:
        change = change * np.asarray(crop.noise_mask, dtype=np.float32)[..., None]
    changed: Plane = np.clip(pixels + np.float32(detailer.denoise) * change, 0, 1)
    return changed


def _tint(words: str) -> Plane:
    """`[3]` in ±TINT."""
    shares = np.frombuffer(_digest(words)[:3], dtype=np.uint8).astype(np.float32) / 255
    tint: Plane = ((shares - 0.5) * 2 * TINT).astype(np.float32)
    return tint


def _spread(plane: Plane, over: Plane) -> Plane:
    """A picture or a mask of any size, as the nearest pixels at another's size."""
    rows, columns = (np.arange(over.shape[axis]) * plane.shape[axis] // over.shape[axis] for axis in (0, 1))
    spread: Plane = plane[rows][:, columns]
    return spread


def _prompted(batch: Batch) -> Plane:
    """`[3]`: the tint of its words; one that fades into another where its prompt does."""
    tints = [_tint(_words(batch, texts)) * np.float32(share) for texts, share in batch.prompts]
    return tints[0] if len(tints) == 1 else tints[0] + tints[1]


def _words(batch: Batch, texts: tuple[str, ...]) -> str:
    detailer = batch.detailer
    sampling = (detailer.steps, detailer.cfg, detailer.sampler_name, detailer.scheduler, detailer.cycle)
    refiner = (detailer.refiner_ratio,) if batch.refiner else ()
    prompt = texts[0] if len(texts) == 1 else texts
    hooks = key_part(detailer.hooks)
    words = (prompt, detailer.negative, sampling, refiner, batch.job_type.value, *([hooks] if hooks else []))
    # Folders by their names, which are hashes: caches lie anywhere.
    vae = batch.vae.name if batch.vae else None
    loras = tuple((lora.path.name, lora.weight, lora.clip_weight) for lora in batch.loras)
    embeddings = tuple(sorted((name, path.name) for name, path in batch.embeddings.items()))
    stack = (vae, detailer.clip_skip, loras, embeddings)
    return repr((*words, *([stack] if any(stack) else []), *_motion(batch)))


def _motion(batch: Batch) -> tuple[object, ...]:
    """What lets frames see each other, where it is not the usual: so the usual looks as it always did."""
    if batch.job_type is JobType.MASK:
        return ()
    detailer, motion = batch.detailer, batch.motion
    windows = (detailer.context_schedule, detailer.context_stride, detailer.closed_loop)
    module = (motion.module.name if motion.module else "", *((lora.name, strength) for lora, strength in motion.loras))
    usual = Detailer()
    is_usual = windows == (usual.context_schedule, usual.context_stride, usual.closed_loop) and module == ("",)
    return () if is_usual else (windows, module)


def _digest(words: str) -> bytes:
    return hashlib.sha256(words.encode()).digest()


def _grain(crop: CropInput, batch: Batch) -> Plane:
    """`[h, w, 3]` in ±GRAIN, drawn at the sampling size in coarse grains and spread over the crop."""
    frame = _noise_frame(crop, batch.job_type, batch.detailer)
    seed = int.from_bytes(_digest(repr((crop.seed, frame)))[:16], "big")
    columns, rows = (max(1, side // GRAIN_PIXELS) for side in crop.size)
    drawn = np.random.default_rng(seed).random((rows, columns, 3), dtype=np.float32)
    grain: Plane = (_spread(drawn, np.asarray(crop.pixels)) - np.float32(0.5)) * np.float32(2 * GRAIN)
    return grain


def _noise_frame(crop: CropInput, job_type: JobType, detailer: Detailer) -> int:
    return crop.frame if job_type is JobType.ANIMATEDIFF and detailer.noise == "independent" else 0


def _mean_of_neighbors(pixels: Plane) -> Plane:
    """Mean over 3 x 3 pixels, the border repeated."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    shifted = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    mean: Plane = np.mean(shifted, axis=0, dtype=np.float32)
    return mean
