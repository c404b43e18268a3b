"""When hooks are called, and how several act as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from farm.detail.blend import Pixels
from farm.detail.enhance import CropInput, enhance
from farm.detail.hooks import Chain, CycleRamp, DetailerHook, Draw, KSample
from farm.detail.resample import Mask

Latents = NDArray[np.float32]
CROP = CropInput(np.zeros((16, 16, 3), dtype=np.float32), None, (16, 16), 7, 0)


class Told(DetailerHook[Latents]):
    """Notes each call; adds 1 to latents and sizes where it can."""

    def __init__(self, calls: list[str], name: str = "") -> None:
        self.calls = calls
        self.name = name

    def touch_scaled_size(self, width: int, height: int) -> tuple[int, int]:
        self.calls.append(f"{self.name}touch_scaled_size {width}x{height}")
        return width + 8, height

    def post_encode(self, latents: Latents) -> Latents:
        self.calls.append(f"{self.name}post_encode")
        return latents + 1

    def set_steps(self, current: int, total: int) -> None:
        self.calls.append(f"{self.name}set_steps {current}/{total}")

    def cycle_latent(self, latents: Latents, draw: Draw[Latents]) -> Latents:
        self.calls.append(f"{self.name}cycle_latent")
        return latents + draw(latents, 5)

    def pre_ksample(self, sampling: KSample) -> KSample:
        self.calls.append(f"{self.name}pre_ksample")
        return sampling

    def get_custom_noise(
        self, sampling: KSample, noise: Latents | None, latents: Latents, draw: Draw[Latents]
    ) -> Latents | None:
        self.calls.append(f"{self.name}get_custom_noise")
        return latents * 0 + 1 if noise is None else noise + 1

    def pre_decode(self, latents: Latents) -> Latents:
        self.calls.append(f"{self.name}pre_decode")
        return latents

    def post_decode(self, pictures: Sequence[Pixels]) -> Sequence[Pixels]:
        self.calls.append(f"{self.name}post_decode")
        return pictures


class Tools:
    """A model that does nothing but ask the hooks about each sampling, as an engine must."""

    factor = 8

    def __init__(self, hooks: Chain[Latents]) -> None:
        self.hooks = hooks
        self.seen: list[Latents] = []

    def encode(self, pixels: Sequence[Pixels]) -> Latents:
        return np.stack(pixels)

    def sample(
        self, latents: Latents, masks: Sequence[Mask] | None, seeds: Sequence[int], concat: Latents | None
    ) -> Latents:
        asked = self.hooks.pre_ksample(KSample(tuple(seeds), 20, 8.0, "euler", "normal", 0.5))
        assert self.hooks.get_custom_noise(asked, latents) is not None
        self.seen.append(latents)
        return latents

    def decode(self, latents: Latents) -> list[Pixels]:
        return list(latents)


def _resize(pixels: Pixels, width: int, height: int) -> Pixels:
    return np.zeros((height, width, 3), dtype=np.float32)


def _run(chain: Chain[Latents], cycle: int) -> Tools:
    tools = Tools(chain)
    enhance([CROP], tools, _resize, cycle, hooks=chain)
    return tools


def test_hooks_fire_in_the_nodes_order() -> None:
    calls: list[str] = []
    _run(Chain([Told(calls)], lambda latents, seed: latents * 0 + seed), 2)
    cycle = ["cycle_latent", "pre_ksample", "get_custom_noise"]
    assert calls == [
        "touch_scaled_size 16x16",
        "post_encode",
        "set_steps 0/2",
        *cycle,
        "set_steps 1/2",
        *cycle,
        "pre_decode",
        "post_decode",
    ]


def test_several_hooks_build_on_each_other_first_one_first() -> None:
    calls: list[str] = []
    chain = Chain([Told(calls, "a "), Told(calls, "b ")], lambda latents, seed: latents * 0 + seed)
    tools = _run(chain, 1)
    assert [call.split()[0] for call in calls] == ["a", "b"] * 8
    assert "b touch_scaled_size 24x16" in calls
    assert tools.seen[0].shape == (1, 16, 32, 3)
    assert np.array_equal(np.unique(tools.seen[0]), [12])  # twice one, twice the noise of seed 5
    noise = chain.get_custom_noise(KSample((7,), 20, 8.0, "euler", "normal", 0.5), tools.seen[0])
    assert noise is not None
    assert np.array_equal(np.unique(noise), [2])


def test_a_hook_that_overrides_nothing_changes_nothing() -> None:
    chain = Chain([DetailerHook[Latents]()])
    sampling = KSample((7,), 20, 8.0, "euler", "normal", 0.5)
    latents = np.ones((1, 2, 2, 3), dtype=np.float32)
    assert chain.touch_scaled_size((16, 24)) == (16, 24)
    assert chain.pre_ksample(sampling) is sampling
    assert chain.get_custom_noise(sampling, latents) is None
    assert all(step(latents) is latents for step in (chain.post_encode, chain.pre_decode))
    assert DetailerHook[Latents]().post_paste(latents[0]) is not None
    assert DetailerHook[Latents]().state() == b""


def test_an_engine_without_noise_for_hooks_says_so() -> None:
    with pytest.raises(ValueError, match="no noise"):
        Chain([Told([])]).begin_cycle(0, 1, np.zeros((1, 2, 2, 3), dtype=np.float32))


def test_a_value_goes_from_the_first_cycle_to_the_last() -> None:
    assert [CycleRamp(number, 3)(1.0, 2.0) for number in range(3)] == [1.0, 1.5, 2.0]
    assert CycleRamp(0, 1)(1.0, 2.0) == 1.0
