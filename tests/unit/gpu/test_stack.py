"""Models of every family at work, and all that may lie over one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from farm.detail.enhance import CropInput
from farm.domain.detailer import Detailer, JobType
from farm.domain.model import Family
from tests.unit.gpu.demo import FOLDER
from tests.unit.gpu.families import Tiny, tiny
from tests.unit.gpu.loras import BLOCK, factors, kohya, write_lora
from workers.gpu.batch import Batch, LoraFile
from workers.gpu.detailer import DiffusersEngine
from workers.gpu.faults import BadModel

U8 = NDArray[np.uint8]
DETAILER = Detailer(steps=2, cfg=2.0, denoise=0.7, prompt="a sharp fox", negative="blurry", noise_mask_feather=0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One model of each family, and what lies over them."""
    top = tmp_path_factory.mktemp("models")
    families: tuple[Family, ...] = ("sd1", "sd2", "sdxl", "sdxl_refiner")
    found: dict[str, Path] = {family: tiny(family).single(top / family) for family in families}
    found["sd2 velocity"] = tiny("sd2", 4, "v_prediction").folder(top / "v")
    found["sdxl inpaint"] = tiny("sdxl", 9).single(top / "inpaint")
    vae = Tiny("sd1").vae
    with torch.no_grad():
        for parameter in vae.decoder.conv_out.parameters():
            parameter.mul_(0.5)
    vae.save_pretrained(top / "vae")
    found["vae"] = top / "vae"
    down, up = factors(64, 64)
    tensors = kohya(f"lora_unet.{BLOCK}.attn2.to_q", 5 * down, up)
    found["lora"] = write_lora(top / "lora", tensors)
    text = kohya("lora_te.text_model.encoder.layers.1.mlp.fc2", factors(64, 96)[0], factors(64, 96)[1])
    found["text lora"] = write_lora(top / "text-lora", text)
    found["embedding"] = top / "embedding"
    found["embedding"].mkdir()
    save_file({"emb_params": torch.ones(2, 64)}, found["embedding"] / "weights.safetensors")
    return found


@pytest.fixture(scope="module")
def engine() -> DiffusersEngine:
    return DiffusersEngine(device="cpu")


def _crop() -> CropInput:
    pixels = np.random.default_rng(0).random((32, 32, 3), dtype=np.float32)
    return CropInput(pixels, np.ones((32, 32), dtype=np.float32), (32, 32), 3, 0)


def _paint(engine: DiffusersEngine, batch: Batch) -> U8:
    return engine.detail(batch, lambda step, steps: None)[0]


def _batch(model: Path, refiner: Path | None = None, **parameters: object) -> Batch:
    detailer = Detailer.model_validate(DETAILER.model_dump() | parameters)
    return Batch(JobType.MASK, detailer, (_crop(),), model, refiner, 1)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sd2 velocity", "sdxl", "sdxl_refiner"])
def test_a_model_of_every_family_paints_and_does_so_twice_alike(
    family: str, folders: dict[str, Path], engine: DiffusersEngine
) -> None:
    batch = _batch(folders[family])
    first = _paint(engine, batch)
    assert first.shape == (32, 32, 3)
    assert len(np.unique(first)) > 10
    assert np.array_equal(first, _paint(DiffusersEngine(device="cpu"), batch))


def test_an_inpaint_model_of_sdxl_is_shown_the_mask(folders: dict[str, Path], engine: DiffusersEngine) -> None:
    batch = _batch(folders["sdxl inpaint"], inpaint_model=True)
    half = _crop()
    mask = np.asarray(half.noise_mask).copy()
    mask[:, :16] = 0
    other = replace(batch, crops=(replace(half, noise_mask=mask),))
    assert not np.array_equal(_paint(engine, batch)[:, 24:], _paint(engine, other)[:, 24:])
    with pytest.raises(BadModel, match="set `inpaint_model`"):
        _paint(engine, _batch(folders["sdxl inpaint"]))


def test_whatever_lies_over_a_model_changes_what_it_paints_and_comes_off_again(
    folders: dict[str, Path], engine: DiffusersEngine
) -> None:
    plain = _batch(folders["sd1"])
    before = _paint(engine, plain)
    with_embedding = _batch(folders["sd1"], prompt="a sharp embedding:x")
    changed = {
        "vae": replace(plain, vae=folders["vae"]),
        "lora": replace(plain, loras=(LoraFile(folders["lora"], 1.0, 1.0),)),
        "lora, less": replace(plain, loras=(LoraFile(folders["lora"], 0.5, 1.0),)),
        "text lora": replace(plain, loras=(LoraFile(folders["text lora"], 1.0, 1.0),)),
        "clip_skip": _batch(folders["sd1"], clip_skip=-2),
        "embedding": replace(with_embedding, embeddings={"x": folders["embedding"]}),
        "break": _batch(folders["sd1"], prompt="a sharp BREAK fox"),
    }
    painted = {name: _paint(engine, batch) for name, batch in changed.items()}
    painted["plain"] = before
    for name, one in painted.items():
        assert [other for other, pixels in painted.items() if np.array_equal(one, pixels)] == [name]
    for name, batch in changed.items():
        assert np.array_equal(_paint(engine, plain), before), name
        assert np.array_equal(_paint(engine, batch), painted[name]), name


def test_loras_without_strength_change_nothing(folders: dict[str, Path], engine: DiffusersEngine) -> None:
    plain = _batch(folders["sd1"])
    off = tuple(LoraFile(folders[name], 0.0, 0.0) for name in ("lora", "text lora"))
    assert np.array_equal(_paint(engine, plain), _paint(engine, replace(plain, loras=off)))


def test_a_refiner_runs_the_last_steps_without_the_loras(folders: dict[str, Path], engine: DiffusersEngine) -> None:
    with_refiner = _batch(folders["sdxl"], folders["sdxl_refiner"], steps=4, refiner_ratio=0.5)
    assert not np.array_equal(_paint(engine, with_refiner), _paint(engine, replace(with_refiner, refiner=None)))
    itself = _batch(folders["sd1"], folders["sd1"], steps=4, refiner_ratio=1.0)
    loras = (LoraFile(folders["lora"], 1.0, 1.0),)
    assert np.array_equal(_paint(engine, itself), _paint(engine, replace(itself, loras=loras)))


def test_a_lora_and_a_vae_of_another_kind_are_refused(
    folders: dict[str, Path], engine: DiffusersEngine, tmp_path: Path
) -> None:
    wide = write_lora(tmp_path / "wide", kohya(f"lora_unet.{BLOCK}.attn2.to_k", *factors(64, 2048)))
    with pytest.raises(BadModel, match="the LoRA 'sdxl-style' was made for another kind of model"):
        _paint(engine, replace(_batch(folders["sd1"]), loras=(LoraFile(wide, 1.0, 1.0, "sdxl-style"),)))
    with pytest.raises(BadModel, match=r"the VAE has latents of 4 channels .* the model 32"):
        _paint(engine, replace(_batch(FOLDER), vae=folders["vae"]))
