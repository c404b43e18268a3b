"""What SDXL's UNets are told besides the text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from farm.domain.model import Family
from tests.unit.gpu.families import SUMMARY, WIDTH, tiny
from workers.gpu.denoiser import Context, Denoiser, Guidance, Vector
from workers.gpu.networks import Told, still_network
from workers.gpu.sigmas import SigmaTable, betas_of

TABLE = SigmaTable(betas_of({}))


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


SIZES = {"sdxl": [48.0, 32.0, 0.0, 0.0, 48.0, 32.0], "sdxl_refiner": [48.0, 32.0, 0.0, 0.0, 6.0]}


@pytest.mark.parametrize("family", ["sdxl", "sdxl_refiner"])
def test_sdxl_is_told_height_and_width_twice_and_its_refiner_a_score(family: Family) -> None:
    unet: Any = tiny(family).unet
    width = WIDTH * (2 if family == "sdxl" else 1)
    x, text, pooled = _noise(1, 2, 4, 6, 4), _noise(1, 77, width, seed=1), _noise(1, SUMMARY, seed=2)
    with torch.inference_mode():
        ours = still_network(unet, factor=8)(x, 500, text, Vector(pooled, torch.tensor([6.0])))
        told = {"text_embeds": pooled.repeat(2, 1), "time_ids": torch.tensor([SIZES[family]] * 2)}
        plain = unet(x[0], 500, text.repeat(2, 1, 1), added_cond_kwargs=told).sample
    assert torch.allclose(ours[0], plain, atol=1e-5)


def test_each_prompt_has_its_own_vector_in_one_call_or_in_two() -> None:
    unet = tiny("sdxl_refiner").unet
    texts = [_noise(1, 77, WIDTH, seed=seed) for seed in (1, 2)]
    vectors = [Vector(_noise(1, SUMMARY, seed=seed), torch.tensor([score])) for seed, score in ((3, 6.0), (4, 2.5))]
    x, sigma = _noise(2, 4, 6, 6), TABLE.sigma(torch.tensor(400))

    def clean(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
        guidance = Guidance(positive, negative, 2.0, False, vectors[0], vectors[1])
        denoiser = Denoiser(still_network(unet), TABLE, guidance, Context(16))
        return denoiser(x, sigma), denoiser.uncond

    def alone(text: Tensor, vector: Vector) -> Tensor:
        guidance = Guidance(text, text, 1.0, False, vector, vector)
        return Denoiser(still_network(unet), TABLE, guidance, Context(16))(x, sigma)

    with torch.inference_mode():
        positive, negative = alone(texts[0], vectors[0]), alone(texts[1], vectors[1])
        expected = negative + 2 * (positive - negative)
        # The same text again and again says the same; six times as long is too long for one call.
        for other in (texts[1], texts[1].repeat(1, 2, 1), texts[1].repeat(1, 6, 1)):
            found, uncond = clean(texts[0], other)
            assert torch.allclose(uncond, negative, atol=1e-4)
            assert torch.allclose(found, expected, atol=1e-3)


def test_a_controlnet_of_sdxl_is_told_the_same_as_the_unet() -> None:
    unet = tiny("sdxl").unet
    x, text, pooled = _noise(2, 3, 4, 6, 4), _noise(2, 77, 2 * WIDTH, seed=1), _noise(2, SUMMARY, seed=2)
    seen: list[Told] = []

    def residuals(latents: Tensor, timestep: Tensor, texts: Tensor, told: Told) -> dict[str, Any]:
        seen.append(told)
        assert len(latents) == len(texts) == 6
        none = torch.zeros(1)
        return {"down_block_additional_residuals": (none,) * 4, "mid_block_additional_residual": none}

    with torch.inference_mode():
        vector = Vector(pooled, torch.tensor([6.0, 2.5]))
        controlled = still_network(unet, residuals)(x, 500, text, vector)
        assert torch.allclose(controlled, still_network(unet)(x, 500, text, vector), atol=1e-6)
    (told,) = seen
    assert torch.equal(told["text_embeds"], pooled.repeat_interleave(3, dim=0))
    assert told["time_ids"].shape == (6, 6)
