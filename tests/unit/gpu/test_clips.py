"""Whole clips through a motion module: windows, their fusing, and chunks with a halo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from farm.detail.spans import Chunk, animatediff_spans
from tests.unit.gpu.plain_animatediff import normal_sigmas, plain_clip, plain_unet
from tests.unit.gpu.tiny_motion import LATENT_CHANNELS, TEXT_WIDTH, motion_file, tiny_adapter, tiny_unet
from workers.gpu.batch import Motion
from workers.gpu.denoiser import Context, Guidance
from workers.gpu.motion import SD_BETAS
from workers.gpu.motion_unet import MovingUnet, moving_unet
from workers.gpu.networks import motion_network
from workers.gpu.noise import clip_streams
from workers.gpu.sampling import Painter, Sampling, sample
from workers.gpu.sigmas import SigmaTable, betas_of
from workers.gpu.windows import Fuse, Layout, Schedule

CFG, SEED = 3.0, 7
GENERATOR = torch.Generator().manual_seed(4)
TEXTS = (
    torch.randn((1, 77, TEXT_WIDTH), generator=GENERATOR),
    torch.randn((1, 77, TEXT_WIDTH), generator=GENERATOR),
)
PYRAMID = [1, 2, 3, 4, 5, 6, 7, 8, 8, 7, 6, 5, 4, 3, 2, 1]


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> MovingUnet:
    folder = tmp_path_factory.mktemp("motion")
    module = motion_file(folder / "mm.safetensors", tiny_adapter())
    made = moving_unet(tiny_unet(), folder, Motion(module), None, torch.float32)
    made.unet.eval()
    return made


def _latents(frames: int) -> Tensor:
    """A scene that changes slowly: each frame a little of the next."""
    noise = torch.randn((frames + 8, LATENT_CHANNELS, 4, 4), generator=torch.Generator().manual_seed(2))
    return torch.stack([noise[f : f + 8].mean(dim=0) * 3 for f in range(frames)])


def _sampled(
    moving: MovingUnet, latents: Tensor, layout: Layout, run: range | None = None, sampling: Sampling | None = None
) -> Tensor:
    """The engine's way over the frames `run` of a clip; over all of them if it is left out."""
    places = run or range(len(latents))
    guidance = Guidance(TEXTS[1], TEXTS[0], CFG)
    table = SigmaTable(betas_of(SD_BETAS))
    painter = Painter(motion_network(moving.unet), table, 1.0, guidance, Context(16, layout))
    streams = clip_streams(SEED, places, len(latents))
    with torch.inference_mode():
        return sample(latents[places.start : places.stop], [painter], sampling or _euler(3, 0.6), streams)


def _euler(steps: int, denoise: float) -> Sampling:
    return Sampling("euler", "normal", steps, denoise)


def _static(_: int) -> Sequence[Sequence[int]]:
    return [range(16), range(12, 28), range(24, 40)]


@pytest.mark.parametrize(
    ("schedule", "fuse", "weights"),
    [
        ("standard_static", "pyramid", PYRAMID),
        ("standard_static", "flat", [1] * 16),
        ("looped_uniform", "pyramid", PYRAMID),
        ("standard_uniform", "flat", [1] * 16),
    ],
)
def test_forty_frames_through_windows_are_what_the_plain_reference_says(
    schedule: Schedule, fuse: Fuse, weights: list[float], moving: MovingUnet
) -> None:
    layout = Layout(16, 4, schedule, fuse=fuse)
    latents = _latents(40)
    plain: Any = plain_unet(tiny_unet(), tiny_adapter())
    windows = _static if schedule == "standard_static" else lambda step: layout.over(40, step)
    with torch.inference_mode():
        theirs = plain_clip(plain, latents, TEXTS, CFG, normal_sigmas(3, 0.6), SEED, windows, weights)
    ours = _sampled(moving, latents, layout)
    assert float((ours - theirs).abs().max() / theirs.std()) < 1e-4


def test_a_sampler_that_looks_twice_per_step_sees_the_same_windows_both_times(moving: MovingUnet) -> None:
    seen: list[tuple[int, int]] = []

    class Watched(Layout):
        def over(self, frames: int, step: int = 0) -> tuple[Sequence[int], ...]:
            seen.append((frames, step))
            return super().over(frames, step)

    _sampled(moving, _latents(10), Watched(8, 2, "looped_uniform"), sampling=Sampling("heun", "normal", 3, 1.0))
    assert [step for _, step in seen] == [0, 0, 1, 1, 2]


def _cores(moving: MovingUnet, latents: Tensor, layout: Layout, chunks: Sequence[Chunk], halo: bool) -> Tensor:
    """The cores of chunks that were each sampled by themselves."""
    parts = []
    for chunk in chunks:
        start, end = (chunk.run_start, chunk.run_end) if halo else (chunk.core_start, chunk.core_end)
        made = _sampled(moving, latents, layout, range(start, end))
        parts.append(made[chunk.core_start - start : chunk.core_end - start])
    return torch.cat(parts)


def test_chunks_with_a_halo_are_nearer_to_one_uncut_run_than_without(moving: MovingUnet) -> None:
    layout, latents = Layout(8, 2), _latents(36)
    spans = animatediff_spans(0, 36, 8, 2, core=12)
    chunks = [spans.chunk(index) for index in range(spans.count)]
    assert len(chunks) == 3
    uncut = _sampled(moving, latents, layout)
    with_halo, without = (_cores(moving, latents, layout, chunks, halo) for halo in (True, False))
    assert _rms(with_halo - uncut) < _rms(without - uncut) / 3
    # The first frames have seen what they see in the uncut run, whatever comes later.
    assert _rms(with_halo[:4] - uncut[:4]) < 0.01 * float(uncut.std())


def _rms(values: Tensor) -> float:
    return float(values.pow(2).mean().sqrt())
