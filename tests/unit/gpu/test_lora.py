"""LoRAs over a model: what is added to which weight, and that all of it comes off again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from farm.domain.model import Family
from tests.unit.gpu.demo import demo_model
from tests.unit.gpu.families import Tiny
from tests.unit.gpu.loras import BLOCK, RANK, factors, kohya, peft, processor, write_lora
from workers.gpu.batch import LoraFile
from workers.gpu.faults import BadModel
from workers.gpu.lora import Overlay
from workers.gpu.lora_file import unet_aliases

Parts = tuple[Overlay, Any, list[Any]]


def _parts(family: Family, dtype: torch.dtype = torch.float32) -> Parts:
    made = Tiny(family)
    unet = made.unet.to(dtype).requires_grad_(False)
    texts = [text.requires_grad_(False) for text in made.texts]
    return Overlay(unet, texts), unet, texts


def _weight(network: Any, name: str) -> Tensor:  # noqa: ANN401 - diffusers and transformers are untyped
    found: Tensor = network.get_submodule(name).weight
    return found


def _lora(path: Path, weight: float = 1.0, clip_weight: float = 1.0) -> LoraFile:
    return LoraFile(path, weight, clip_weight, path.name)


QUERY = f"{BLOCK}.attn1.to_q"


def test_a_weight_gets_alpha_over_rank_times_up_times_down_times_the_strength(tmp_path: Path) -> None:
    overlay, unet, _ = _parts("sd1")
    before = _weight(unet, QUERY).clone()
    down, up = factors(64, 64)
    path = write_lora(tmp_path / "x", kohya(f"lora_unet.{QUERY}", down, up, alpha=1.5))
    assert overlay.lay((_lora(path, 0.8),))
    assert torch.allclose(_weight(unet, QUERY), before + 0.8 * 1.5 / RANK * up @ down, atol=1e-6)
    assert not overlay.lay((_lora(path, 0.8),))
    assert overlay.lay(())
    assert torch.equal(_weight(unet, QUERY), before)


OUT = f"{BLOCK}.attn2.to_out.0"
FIRST = "input_blocks.1.1.transformer_blocks.0"
NAMES = {
    "kohya, diffusers' layers": lambda d, u: kohya(f"lora_unet.{OUT}", d, u),
    "kohya, original layers": lambda d, u: kohya(
        "lora_unet.input_blocks.1.1.transformer_blocks.0.attn2.to_out.0", d, u
    ),
    "peft": lambda d, u: peft(f"unet.{OUT}", d, u),
    "peft, wrapped": lambda d, u: peft(f"base_model.model.unet.{OUT}", d, u),
    "attention processors": lambda d, u: processor(f"unet.{OUT}", d, u),
    "attention processors alone": lambda d, u: processor(OUT, d, u),
}


@pytest.mark.parametrize("way", NAMES)
def test_every_way_of_naming_means_the_same_weight_and_no_alpha_means_the_rank(way: str, tmp_path: Path) -> None:
    overlay, unet, _ = _parts("sd1")
    down, up = factors(64, 64)
    before = _weight(unet, OUT).clone()
    overlay.lay((_lora(write_lora(tmp_path / "x", NAMES[way](down, up))),))
    assert torch.allclose(_weight(unet, OUT), before + up @ down, atol=1e-6)


SDXL_NAMES = {
    "input_blocks.3.1.transformer_blocks.1.attn2.to_k": "down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k",
    "middle_block.1.proj_in": "mid_block.attentions.0.proj_in",
    "output_blocks.1.1.proj_out": "up_blocks.0.attentions.1.proj_out",
    "output_blocks.2.0.skip_connection": "up_blocks.1.resnets.0.conv_shortcut",
    "time_embed.0": "time_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
}


def test_sdxls_layers_are_found_by_their_original_names(tmp_path: Path) -> None:
    overlay, unet, _ = _parts("sdxl")
    tensors: dict[str, Tensor] = {}
    expected: dict[str, Tensor] = {}
    for number, (original, name) in enumerate(SDXL_NAMES.items()):
        weight = _weight(unet, name)
        down, up = factors(weight.shape[0], math.prod(weight.shape[1:]), number)
        tensors |= kohya(f"lora_unet.{original}", down.reshape(RANK, *weight.shape[1:]), up, alpha=RANK)
        expected[name] = weight + (up @ down).reshape(weight.shape)
    overlay.lay((_lora(write_lora(tmp_path / "x", tensors)),))
    for name, wanted in expected.items():
        assert torch.allclose(_weight(unet, name), wanted, atol=1e-5), name


def test_a_convolution_that_was_taken_apart_is_put_together(tmp_path: Path) -> None:
    overlay, unet, _ = _parts("sd1")
    name = "down_blocks.0.resnets.0.conv1"
    before = _weight(unet, name).clone()
    dice = torch.Generator().manual_seed(1)
    down, up = torch.randn((2, 64, 1, 1), generator=dice), torch.randn((64, 2, 1, 1), generator=dice)
    middle = torch.randn((2, 2, 3, 3), generator=dice)
    tensors = kohya(f"lora_unet.{name}", down, up)
    tensors[f"lora_unet_{name.replace('.', '_')}.lora_mid.weight"] = middle
    overlay.lay((_lora(write_lora(tmp_path / "x", tensors)),))
    x = torch.randn((1, 64, 6, 6), generator=dice)
    conv = torch.nn.functional.conv2d
    apart = conv(conv(conv(x, down), middle, padding=1), up)
    assert torch.allclose(conv(x, _weight(unet, name) - before, padding=1), apart, atol=1e-3)


LAYER = "encoder.layers.1.self_attn.v_proj"
TEXT_NAMES: list[tuple[Family, int, str]] = [
    ("sd1", 0, "lora_te_text_model_{}"),
    ("sd1", 0, "lora_te1_text_model_{}"),
    ("sd1", 0, "text_encoder.text_model.{}"),
    ("sd2", 0, "lora_te_text_model_{}"),
    ("sdxl", 0, "lora_te1_text_model_{}"),
    ("sdxl", 1, "lora_te2_text_model_{}"),
    ("sdxl", 1, "text_encoder_2.text_model.{}"),
    ("sdxl_refiner", 0, "lora_te2_text_model_{}"),
]


@pytest.mark.parametrize(("family", "number", "name"), TEXT_NAMES, ids=str)
def test_text_encoders_are_changed_by_the_weight_for_them(
    family: Family, number: int, name: str, tmp_path: Path
) -> None:
    overlay, unet, texts = _parts(family)
    down, up = factors(64, 64)
    kind = peft if name.startswith("text_encoder") else kohya
    base = name.format(LAYER)
    path = write_lora(tmp_path / "x", kind(base, down, up))
    inner = getattr(texts[number], "text_model", texts[number])
    before, others = _weight(inner, LAYER).clone(), _weight(unet, "conv_in").clone()
    overlay.lay((_lora(path, weight=5.0, clip_weight=0.5),))
    assert torch.allclose(_weight(inner, LAYER), before + 0.5 * up @ down, atol=1e-6)
    assert torch.equal(_weight(unet, "conv_in"), others)
    overlay.lay((_lora(path, weight=5.0, clip_weight=0.0),))
    assert torch.equal(_weight(inner, LAYER), before)


def test_a_stack_adds_up_and_does_not_depend_on_what_was_there_before(tmp_path: Path) -> None:
    paths = []
    for number in range(3):
        down, up = factors(64, 64, number)
        paths.append(write_lora(tmp_path / str(number), kohya(f"lora_unet.{QUERY}", down, up)))
    fresh, unet, _ = _parts("sd1", torch.float16)
    used, other, _ = _parts("sd1", torch.float16)
    before = _weight(unet, QUERY).clone()
    stack = (_lora(paths[0], 0.3), _lora(paths[1], -0.2))
    fresh.lay(stack)
    used.lay((_lora(paths[2], 7.0),))
    used.lay((_lora(paths[1], 1.0), _lora(paths[2], 7.0)))
    used.lay(stack)
    assert torch.equal(_weight(unet, QUERY), _weight(other, QUERY))
    changes = [up @ down for down, up in (factors(64, 64, 0), factors(64, 64, 1))]
    # In float32, and rounded once.
    assert torch.equal(_weight(unet, QUERY), (before.float() + 0.3 * changes[0] - 0.2 * changes[1]).half())
    used.lay(())
    assert torch.equal(_weight(other, QUERY), before)


REFUSED = {
    "another size": (kohya(f"lora_unet.{QUERY}", *factors(64, 768)), r"does not fit a weight of \[64, 64\]"),
    "names of another model": (
        kohya("lora_transformer.blocks.0.q", *factors(8, 8)),
        "1 of its 1 changes find no weight",
    ),
    "a second text encoder": (
        {**kohya("lora_te2_text_model.x", *factors(8, 8)), **kohya("lora_te2_text_model.y", *factors(8, 8))},
        "2 of its 2 changes find no weight, first 'lora_te2_text_model_x'",
    ),
    "a half": ({"lora_unet_x.lora_down.weight": torch.zeros(1, 1)}, "has only down for 'lora_unet_x'"),
    "another method": ({"lora_unet_x.hada_w1_a": torch.zeros(1, 1)}, "'lora_unet_x.hada_w1_a', which plain LoRAs"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_lora_that_was_made_for_something_else_is_refused_and_nothing_is_changed(case: str, tmp_path: Path) -> None:
    tensors, says = REFUSED[case]
    overlay, unet, _ = _parts("sd1")
    before = _weight(unet, QUERY).clone()
    good = write_lora(tmp_path / "good", kohya(f"lora_unet.{QUERY}", *factors(64, 64)))
    with pytest.raises(BadModel, match=says):
        overlay.lay((_lora(good), _lora(write_lora(tmp_path / "bad", tensors))))
    assert torch.equal(_weight(unet, QUERY), before)
    assert overlay.lay((_lora(good),))


def test_a_lora_of_which_some_parts_find_no_weight_is_used_for_the_rest(tmp_path: Path) -> None:
    overlay, unet, _ = _parts("sd1")
    before = _weight(unet, QUERY).clone()
    tensors = {**kohya(f"lora_unet.{QUERY}", *factors(64, 64)), **kohya("lora_te.layers_23", *factors(8, 8))}
    overlay.lay((_lora(write_lora(tmp_path / "x", tensors)),))
    assert not torch.equal(_weight(unet, QUERY), before)


def test_a_lora_that_is_gone_is_refused(tmp_path: Path) -> None:
    overlay, _, _ = _parts("sd1")
    with pytest.raises(BadModel, match="the LoRA 'gone' cannot be read"):
        overlay.lay((_lora(tmp_path / "gone"),))


def test_a_lora_means_the_same_layers_where_a_motion_module_lies_between_them() -> None:
    with_motion, plain = (unet_aliases(demo_model(motion).unet) for motion in (True, False))
    assert len(plain) > 100
    assert plain.keys() <= with_motion.keys()
