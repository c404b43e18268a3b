from __future__ import annotations

import pytest
import torch
from torch import Tensor

from workers.gpu.noise import (
    SEEDS,
    SamplerNoise,
    Streams,
    block_seed,
    clip_streams,
    crop_streams,
    initial_noise,
    reseeded,
)

SHAPE = (4, 8, 8)


def _randn(rows: int, seed: int) -> Tensor:
    return torch.randn((rows, *SHAPE), generator=torch.Generator().manual_seed(seed))


def _noise(streams: Streams) -> SamplerNoise:
    return SamplerNoise(streams, SHAPE, torch.device("cpu"), lambda: (torch.tensor(0.03), torch.tensor(14.0)))


def test_a_crop_has_the_noise_of_a_run_of_its_own() -> None:
    together = initial_noise(crop_streams([3, 9]), SHAPE)
    assert torch.equal(together, torch.cat([_randn(1, 3), _randn(1, 9)]))


def test_a_short_clip_has_the_originals_noise_one_tensor_for_all_frames() -> None:
    assert torch.equal(initial_noise(clip_streams(3, range(20), 20), SHAPE), _randn(20, 3))


def test_a_chunk_takes_its_frames_out_of_the_clips_noise() -> None:
    assert torch.equal(initial_noise(clip_streams(3, range(40, 50), 128), SHAPE), _randn(128, 3)[40:50])


def test_a_long_clips_noise_is_drawn_block_by_block() -> None:
    noise = initial_noise(clip_streams(3, range(120, 140), 150), SHAPE)
    assert torch.equal(noise[:8], _randn(128, 3)[120:])
    assert torch.equal(noise[8:], _randn(22, block_seed(3, 1))[:12])


def test_chunks_agree_on_the_frames_that_they_share() -> None:
    left, right = (_noise(clip_streams(3, frames, 300)) for frames in (range(100, 160), range(140, 200)))
    for _ in range(2):
        assert torch.equal(left.normal()[40:], right.normal()[:20])
    high, low = torch.tensor(7.0), torch.tensor(2.0)
    assert torch.equal(left.brownian(high, low)[40:], right.brownian(high, low)[:20])


def test_shared_noise_is_that_of_frame_zero() -> None:
    noise = initial_noise(clip_streams(3, range(130, 135), 300, shared=True), SHAPE)
    assert torch.equal(noise, _randn(128, 3)[:1].expand(5, -1, -1, -1))


def test_a_samplers_first_noise_is_the_runs_initial_noise_as_in_comfyui() -> None:
    streams = crop_streams([3, 9])
    noise = _noise(streams)
    assert torch.equal(noise.normal(), initial_noise(streams, SHAPE))
    assert not torch.equal(noise.normal(), initial_noise(streams, SHAPE))


def test_a_brownian_path_is_unit_noise_and_its_parts_add_up() -> None:
    noise = _noise(crop_streams([3]))
    high, middle, low = torch.tensor(9.0), torch.tensor(5.0), torch.tensor(0.03)
    whole = noise.brownian(high, low) * (high - low).sqrt()
    parts = noise.brownian(high, middle) * (high - middle).sqrt() + noise.brownian(middle, low) * (middle - low).sqrt()
    assert torch.allclose(whole, parts, atol=1e-5)
    assert float(noise.brownian(high, low).std()) == pytest.approx(1, abs=0.15)


def test_noise_of_a_seed_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    _noise(crop_streams([3])).normal()
    initial_noise(crop_streams([3]), SHAPE)
    assert torch.equal(before, torch.get_rng_state())


def test_seeds_begin_again_after_the_last() -> None:
    assert reseeded(crop_streams([SEEDS - 1]), 1) == crop_streams([0])
    assert initial_noise(crop_streams([SEEDS - 1]), SHAPE).shape == (1, *SHAPE)


@pytest.mark.parametrize("frames", [[5, 4], [-1, 0], [9, 10]], ids=str)
def test_frames_must_rise_and_lie_in_the_clip(frames: list[int]) -> None:
    with pytest.raises(ValueError, match="must rise and lie in a clip of 10 frames"):
        clip_streams(3, frames, 10)
