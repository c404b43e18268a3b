from __future__ import annotations

import gc
import weakref
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor

from tests.unit.gpu.tiny_motion import TEXT_WIDTH, tiny_adapter, tiny_unet
from workers.gpu.motion import MotionModule
from workers.gpu.networks import attention_switch, motion_network, still_network

X = torch.randn((2, 3, 32, 8, 8), generator=torch.Generator().manual_seed(0))
TEXT = torch.randn((2, 77, TEXT_WIDTH), generator=torch.Generator().manual_seed(1))


def _processors(unet: Any) -> set[str]:  # noqa: ANN401  diffusers is untyped
    return {type(module.processor).__name__ for module in unet.modules() if isinstance(module, Attention)}


def _moving() -> Any:  # noqa: ANN401  diffusers is untyped
    from diffusers import UNetMotionModel

    kind: Any = UNetMotionModel
    return kind.from_unet2d(tiny_unet(), MotionModule(tiny_adapter(), "v3").adapter).eval()


def test_attention_is_torchs_own_fused_one() -> None:
    assert _processors(tiny_unet()) == _processors(_moving()) == {AttnProcessor2_0.__name__}


def test_attention_slice_by_slice_predicts_the_same() -> None:
    for unet, network in ((still := tiny_unet(), still_network(still)), (moving := _moving(), motion_network(moving))):
        switch = attention_switch(unet)
        with torch.inference_mode():
            whole = network(X, 300, TEXT)
            switch(True)
            switch(True)
            assert AttnProcessor2_0.__name__ not in _processors(unet)
            sliced = network(X, 300, TEXT)
            switch(False)
            again = network(X, 300, TEXT)
        assert torch.allclose(whole, sliced, atol=1e-5)
        assert torch.equal(whole, again)
        assert _processors(unet) == {AttnProcessor2_0.__name__}


class Special(AttnProcessor2_0):
    """Attention that does more than attend, as an IP-Adapter's does."""


def test_attention_of_a_special_kind_is_left_alone() -> None:
    unet = tiny_unet()
    special = next(module for module in unet.modules() if isinstance(module, Attention))
    kind: Any = Special
    processor = kind()
    special.set_processor(processor)
    switch = attention_switch(unet)
    switch(True)
    assert special.processor is processor
    assert AttnProcessor2_0.__name__ not in _processors(unet)


def test_the_switch_does_not_keep_a_unet_in_memory() -> None:
    unet = tiny_unet()
    gone = weakref.ref(unet)
    switch = attention_switch(unet)
    switch(True)
    del unet
    gc.collect()
    assert gone() is None
    switch(False)


def test_the_timestep_is_made_on_the_device_that_the_latents_are_on() -> None:
    seen: list[Tensor] = []

    class Unet:
        dtype = torch.float32

        def __call__(self, x: Tensor, timestep: Tensor, text: Tensor, **named: Any) -> tuple[Tensor]:  # noqa: ANN401  diffusers'
            seen.append(timestep)
            return (x,)

    still_network(Unet())(X, 321, TEXT)
    assert seen[0].dtype == torch.int64
    assert seen[0].device == X.device
    assert int(seen[0]) == 321
