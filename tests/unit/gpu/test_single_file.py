"""Checkpoints in one file: the same model as its folder, without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from safetensors.torch import save_file
from torch import Tensor

from farm.adapters.model_facts import SINGLE
from farm.domain.model import Family
from tests.unit.gpu.families import original_text, original_unet, original_vae, tiny
from workers.gpu.denoiser import Vector
from workers.gpu.faults import BadModel
from workers.gpu.models import Model, ModelCache, load_model
from workers.gpu.parts import read_parts
from workers.gpu.single_file.loading import FAMILIES, opened, scheduler_config
from workers.gpu.single_file.names import unet_name
from workers.gpu.single_file.shapes import unet_config, vae_config

oracle: Any = single_file_utils
"""diffusers' own conversion, untyped."""
CPU, FP32 = torch.device("cpu"), torch.float32
FAMILY_NAMES: list[Family] = ["sd1", "sd2", "sdxl", "sdxl_refiner"]
PROMPT = "a sharp (fox:1.3) BREAK bear"


def _predicted(model: Model) -> list[Tensor]:
    """What a model makes of a prompt and of noise."""
    with torch.inference_mode():
        told = model.text.encoded(PROMPT)
        vector = ()
        if model.wants_vector:
            assert told.pooled is not None
            vector = (Vector(told.pooled, torch.tensor([6.0])),)  # type: ignore[assignment]  # none, or one
        x = torch.randn((1, 1, 4, 8, 8), generator=torch.Generator().manual_seed(0))
        picture = torch.rand((16, 16, 3), generator=torch.Generator().manual_seed(0)).numpy()
        latent = model.codec.encode([picture])
        return [told.hidden, model.network(x, 500, told.hidden, *vector), latent]


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_single_file_is_the_same_model_as_its_folder(family: Family, tmp_path: Path) -> None:
    made = tiny(family)
    folder, single = (
        load_model(path, False, CPU, FP32)
        for path in (made.folder(tmp_path / "folder"), made.single(tmp_path / "single"))
    )
    for one, other in zip(_predicted(folder), _predicted(single), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert (folder.family, folder.prediction, folder.codec.scaling) == (family, "epsilon", single.codec.scaling)
    assert torch.equal(folder.table.sigmas, single.table.sigmas)


def test_an_inpaint_checkpoint_is_one_by_its_channels(tmp_path: Path) -> None:
    assert load_model(tiny("sd1", 9).single(tmp_path), False, CPU, FP32).takes_concat
    with pytest.raises(BadModel, match="takes 8 channels, for latents of 4"):
        load_model(tiny("sd1", 8).single(tmp_path / "edit"), False, CPU, FP32)


FULL_SIZE: dict[str, dict[str, Any]] = {
    "sd1": {"cross_attention_dim": 768},
    "sd2": {
        "cross_attention_dim": 1024,
        "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": True,
        "upcast_attention": True,
    },
    "sdxl": {
        "block_out_channels": [320, 640, 1280],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": [1, 2, 10],
        "attention_head_dim": [5, 10, 20],
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
    "sdxl_refiner": {
        "block_out_channels": [384, 768, 1536, 1536],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": 4,
        "attention_head_dim": [6, 12, 24, 24],
        "cross_attention_dim": 1280,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2560,
    },
}
"""How the published models' own configurations differ from the class's defaults."""


def _empty(kind: Any, **config: Any) -> Any:  # noqa: ANN401 - diffusers is untyped
    with torch.device("meta"):
        return kind(**config)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_full_size_networks_are_known_by_their_shapes_and_named_as_diffusers_converts_them(family: Family) -> None:
    unet = _empty(UNet2DConditionModel, **FULL_SIZE[family])
    original = original_unet(unet)
    shapes = {name: tuple(tensor.shape) for name, tensor in original.items()}
    found = _empty(UNet2DConditionModel, **unet_config(shapes, FAMILIES[family]))
    assert {n: t.shape for n, t in found.state_dict().items()} == {n: t.shape for n, t in unet.state_dict().items()}
    for name in ("upcast_attention", "use_linear_projection", "addition_embed_type", "attention_head_dim"):
        assert found.config[name] == unet.config[name]
    # Tensors without data, each to be found again under the name that it had before.
    marked = {name: object() for name in unet.state_dict()}
    renamed = {f"model.diffusion_model.{unet_name(n, 2, set(marked))}": mark for n, mark in marked.items()}
    assert oracle.convert_ldm_unet_checkpoint(renamed, unet.config) == marked


def test_the_tiny_networks_come_back_from_diffusers_own_conversion_weight_by_weight() -> None:
    for family in FAMILY_NAMES:
        unet = tiny(family).unet
        state = {f"model.diffusion_model.{name}": tensor for name, tensor in original_unet(unet).items()}
        _same(oracle.convert_ldm_unet_checkpoint(state, unet.config), unet.state_dict())


def test_the_vae_comes_back_from_diffusers_own_conversion_weight_by_weight() -> None:
    vae: Any = AutoencoderKL(  # type: ignore[no-untyped-call]  # diffusers is untyped
        block_out_channels=[32, 64, 32],
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        layers_per_block=2,
    )
    original = original_vae(vae)
    state = {f"first_stage_model.{name}": tensor for name, tensor in original.items()}
    _same(oracle.convert_ldm_vae_checkpoint(state, vae.config), vae.state_dict())
    found = vae_config({name: tuple(tensor.shape) for name, tensor in original.items()}, 0.18215)
    again = _empty(AutoencoderKL, **found).config
    assert {n: v for n, v in again.items() if n[0] != "_"} == {n: v for n, v in vae.config.items() if n[0] != "_"}


def test_openclips_text_model_comes_back_from_diffusers_own_conversion_weight_by_weight() -> None:
    text = tiny("sdxl").texts[1]
    state = {f"x.{name}": tensor for name, tensor in original_text(text, "open_clip").items()}
    _same(oracle.convert_open_clip_checkpoint(text, state, prefix="x."), text.state_dict())


def _same(converted: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    assert set(converted) == set(state)
    for name, tensor in state.items():
        # The original's attention in the VAE is made of convolutions.
        assert torch.equal(converted[name].reshape(tensor.shape), tensor), name


def _saved(folder: Path, change: Callable[[dict[str, Tensor]], object], family: Family = "sd1") -> Path:
    made = tiny(family)
    made.single(folder)
    state = {name: tensor.contiguous().clone() for name, tensor in made.original().items()}
    change(state)
    save_file(state, folder / SINGLE)
    return folder


def test_missing_weights_are_counted_and_named(tmp_path: Path) -> None:
    name = "model.diffusion_model.middle_block.0.out_layers.3.bias"
    with pytest.raises(BadModel, match=rf"lacks 1 of the \d+ weights of the UNet, first {name}"):
        ModelCache(CPU, FP32).get(_saved(tmp_path, lambda state: state.pop(name)), False)


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    name = "first_stage_model.decoder.norm_out.bias"
    folder = _saved(tmp_path, lambda state: state.update({name: torch.zeros(5)}))
    with pytest.raises(BadModel, match=rf"{name} of the VAE is \[5\] where \[32\] is needed"):
        ModelCache(CPU, FP32).get(folder, False)


def test_early_files_that_leave_a_part_of_the_text_encoders_names_out_are_read(tmp_path: Path) -> None:
    def rename(state: dict[str, Tensor]) -> None:
        for name in [name for name in state if ".text_model." in name]:
            state[name.replace(".text_model.", ".")] = state.pop(name)

    model = load_model(_saved(tmp_path, rename), False, CPU, FP32)
    plain = load_model(tiny("sd1").single(tmp_path / "plain"), False, CPU, FP32)
    assert torch.equal(model.text.encode(PROMPT), plain.text.encode(PROMPT))


def test_a_vocabulary_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    folder = tiny("sd1").single(tmp_path)
    for file in (folder / "tokenizer").iterdir():
        file.unlink()
    (folder / "tokenizer").rmdir()
    with pytest.raises(BadModel, match=r"knows 994 tokens, and there is no tokenizer .*--tokenizer FOLDER"):
        ModelCache(CPU, FP32).get(folder, False)


@pytest.mark.parametrize(
    ("notes", "extra", "said", "expected"),
    [
        (None, (), None, "epsilon"),
        (None, (), "v_prediction", "v_prediction"),
        ({"modelspec.prediction_type": "v"}, (), None, "v_prediction"),
        ({"modelspec.prediction_type": "epsilon"}, ("v_pred",), None, "epsilon"),
        (None, ("v_pred",), None, "v_prediction"),
        (None, ("v_pred", "ztsnr"), "epsilon", "epsilon"),
    ],
)
def test_what_the_network_predicts_is_told_by_people_by_notes_or_by_a_mark(
    notes: dict[str, str] | None, extra: tuple[str, ...], said: str | None, expected: str, tmp_path: Path
) -> None:
    file = tmp_path / "x.safetensors"
    save_file({name: torch.zeros(1) for name in ("model.diffusion_model.input_blocks.0.0.weight", *extra)}, file, notes)
    if expected == "epsilon" and said is None and not notes:
        tiny("sd1").single(tmp_path)
        file = tmp_path / SINGLE
    config = scheduler_config(opened(file), "sdxl" if notes or extra or said else "sd1", said)
    assert config["prediction_type"] == expected
    assert config.get("rescale_betas_zero_snr", False) == ("ztsnr" in extra)


def test_a_stable_diffusion_2_that_predicts_velocities_is_known_by_the_spread_of_a_bias(tmp_path: Path) -> None:
    bias = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
    for spread, expected in ((0.02, "epsilon"), (0.2, "v_prediction")):
        values = torch.tensor([-spread, spread]).repeat(8)
        folder = _saved(tmp_path / expected, lambda state, values=values: state.update({bias: values}), "sd2")  # type: ignore[misc]  # a default is the loop's own value
        assert read_parts(folder, FP32).scheduler["prediction_type"] == expected


def test_a_vae_of_its_own_is_read_in_every_layout(tmp_path: Path) -> None:
    made = tiny("sd1")
    cache = ModelCache(CPU, FP32, room=9)
    picture = torch.rand((16, 16, 3), generator=torch.Generator().manual_seed(0)).numpy()
    made.vae.save_pretrained(tmp_path / "folder")
    original = {name: tensor.contiguous().clone() for name, tensor in original_vae(made.vae).items()}
    for name, state in {
        "original": original,
        "with-prefix": {f"first_stage_model.{key}": tensor for key, tensor in original.items()},
        "diffusers": dict(made.vae.state_dict()),
    }.items():
        (tmp_path / name).mkdir()
        save_file(state, tmp_path / name / SINGLE)
    with torch.inference_mode():
        expected = cache.vae(tmp_path / "folder").encode([picture])
        for name in ("original", "with-prefix", "diffusers"):
            assert torch.equal(cache.vae(tmp_path / name).encode([picture]), expected), name
