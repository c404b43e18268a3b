"""Parameters of both nodes that say which networks run, and what they are shown besides, one by one (SPEC 5 to 9)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from farm.adapters.pictures import lanczos
from farm.detail.blend import cut, from_bytes
from farm.detail.box import Box
from farm.detail.enhance import inpaint_pixels
from farm.domain.detailer import JobType
from tests.unit.gpu.demo import FOLDER
from tests.unit.gpu.loras import BLOCK, factors, kohya, write_lora
from tests.unit.gpu.node_at_work import MIDDLE, NodeAtWork, Painted, marked, picture
from tests.unit.gpu.parameters import CLIP, MASK, holds
from workers.gpu.batch import LoraFile
from workers.gpu.detailer import DiffusersEngine
from workers.gpu.models import load_model
from workers.gpu.parts import read_vae

both = pytest.mark.parametrize("kind", [MASK, CLIP])
ONE = marked(MIDDLE)
CROP = Box(12, 12, 36, 36)
CPU = torch.device("cpu")


@both
@holds("refiner", "refiner_ratio")
def test_the_refiner_runs_its_ratio_of_the_steps_the_last_ones(kind: JobType, refined: NodeAtWork) -> None:
    for ratio, base in ((0.2, 4), (0.5, 2), (0.0, 5), (1.0, 0)):
        painted = refined.paint(kind, ONE, steps=5, refiner_ratio=ratio)
        unets = [call.unet for call in painted.calls]
        assert unets == ([0] * base + [1] * (5 - base) if base else [0] * 5)
        assert painted.timesteps == sorted(painted.timesteps, reverse=True)


@both
@holds("refiner_ratio")
def test_without_a_refiner_its_ratio_is_without_effect(kind: JobType, node: NodeAtWork) -> None:
    ways = [node.paint(kind, ONE, refiner_ratio=ratio).frame for ratio in (0.2, 0.8)]
    assert np.array_equal(ways[0], ways[1])


@both
@holds("inpaint_model")
def test_an_inpaint_model_is_shown_the_mask_and_the_picture_with_its_masked_part_gray(
    kind: JobType, inpainting: NodeAtWork, small_models: dict[str, Path]
) -> None:
    shown = inpainting.paint(kind, ONE, inpaint_model=True).calls[0].x
    assert shown.shape == (1, 9, 8, 8)
    assert torch.equal(shown[0, 4, 3:5, 3:5], torch.ones(2, 2))
    assert torch.equal(shown[0, 4, [0, -1]], torch.zeros(2, 8))
    crop = lanczos(cut(from_bytes(picture()), CROP), 64, 64)
    gray, _ = inpaint_pixels(crop, ONE[CROP.slices])
    assert np.ptp(gray[20:44, 20:44]) == 0
    codec = load_model(small_models["inpaint"], False, CPU, torch.float32).codec
    with torch.inference_mode():
        assert torch.allclose(shown[0, 5:], codec.encode([gray])[0] * codec.scaling, atol=1e-5)


@both
@holds("inpaint_model")
def test_a_plain_model_is_not_shown_the_mask_and_repaints_the_same_pixels(kind: JobType, node: NodeAtWork) -> None:
    painted = node.paint(kind, ONE, inpaint_model=True, feather=0)
    assert painted.calls[0].x.shape == (1, 4, 8, 8)
    changed = (painted.frame != picture()).any(axis=2)
    assert changed[ONE == 1].mean() > 0.9
    assert not changed[ONE == 0].any()


@both
@holds("batch_size")
def test_each_variation_begins_with_the_input_again_and_has_the_next_seed(kind: JobType, node: NodeAtWork) -> None:
    variations = node.paint(kind, ONE, batch_size=2, seed=7).frames
    alone = [node.paint(kind, ONE, seed=seed).frame for seed in (7, 8)]
    assert np.array_equal(variations, alone)


@both
@holds("model")
def test_the_model_is_the_one_that_is_named(kind: JobType, node: NodeAtWork, inpainting: NodeAtWork) -> None:
    assert node.paint(kind, ONE).calls[0].x.shape[1] == 4
    assert inpainting.paint(kind, ONE, inpaint_model=True).calls[0].x.shape[1] == 9


@both
@holds("vae")
def test_a_vae_encodes_and_decodes_in_place_of_the_models_own(
    kind: JobType, node: NodeAtWork, small_models: dict[str, Path], tmp_path: Path
) -> None:
    vae = read_vae(small_models["plain"] / "vae")
    same = _saved(vae, tmp_path / "same")
    with torch.no_grad():
        vae.encoder.conv_out.bias[:4] += 3
        vae.decoder.conv_out.bias += 9
    other = _saved(vae, tmp_path / "other")
    plain, again, changed = (node.paint(kind, ONE, over=over) for over in ({}, {"vae": same}, {"vae": other}))
    assert np.array_equal(plain.frame, again.frame)
    # What the mask keeps was encoded by the other one, and what is painted is decoded by it: all white.
    assert not torch.allclose(plain.decoded[0][0, :, 0, 0], changed.decoded[0][0, :, 0, 0], atol=0.1)
    assert changed.frame[24, 24].min() >= 250


def _saved(vae: Any, folder: Path) -> Path:  # noqa: ANN401 - diffusers is untyped
    vae.save_pretrained(folder)
    return folder


@both
@holds("loras")
def test_a_lora_acts_by_its_weight_and_comes_off_again(kind: JobType, node: NodeAtWork, tmp_path: Path) -> None:
    down, up = factors(64, 64)
    file = write_lora(tmp_path / "lora", kohya(f"lora_unet.{BLOCK}.attn2.to_v", down, up))

    def latents(*weights: float) -> Tensor:
        over = {"loras": tuple(LoraFile(file, weight, 0.0) for weight in weights)}
        return node.paint(kind, ONE, over=over).decoded[0]

    plain, none, half, whole = latents(), latents(0), latents(0.05), latents(0.1)
    assert torch.allclose(plain, none, atol=1e-5)
    assert 0 < float((half - plain).norm()) < float((whole - plain).norm())
    assert torch.allclose(latents(0.05, 0.05), whole, atol=1e-4)
    assert torch.equal(latents(), plain)


@both
@holds("clip_skip")
def test_clip_skip_takes_an_earlier_layer_of_the_text_encoder(kind: JobType, node: NodeAtWork) -> None:
    own, last, before = (node.paint(kind, ONE, clip_skip=skip).calls[0].text for skip in (None, -1, -2))
    assert torch.equal(own, last)
    assert not torch.equal(last, before)


@both
@holds("embeddings")
def test_an_embedding_stands_in_the_prompt_where_it_is_named(kind: JobType, node: NodeAtWork, tmp_path: Path) -> None:
    save_file({"emb_params": torch.ones(2, 64)}, tmp_path / "weights.safetensors")
    over = {"embeddings": {"style": tmp_path}}
    plain, with_it = (
        node.paint(kind, ONE, prompt=prompt, over=over).calls[0].text for prompt in ("", "embedding:style")
    )
    assert torch.equal(plain[0, :1], with_it[0, :1])
    assert not torch.equal(plain[0, 1:3], with_it[0, 1:3])


@cache
def _moving(length: int, overlap: int, fuse: str = "pyramid") -> Painted:
    """Five frames through the embedded model, which has a motion module, in one step."""
    windows = {"context_length": length, "context_overlap": overlap, "context_fuse": fuse}
    node = NodeAtWork(_engine(), FOLDER)
    return node.paint(CLIP, ONE, frames=5, steps=1, denoise=0.3, **windows)  # type: ignore[arg-type]  # of Detailer


@cache
def _engine() -> DiffusersEngine:
    return DiffusersEngine("cpu", "fp32", 1)


def _windows(length: int, overlap: int) -> list[int]:
    """Frames of each call of the UNet."""
    return [call.x.shape[2] for call in _moving(length, overlap).calls]


@holds("context_length", "context_overlap", of=[CLIP])
def test_a_clip_is_seen_in_windows_of_context_length_that_share_context_overlap() -> None:
    assert _windows(16, 4) == [5]
    assert _windows(3, 1) == [3, 3]
    assert _windows(3, 2) == [3, 3, 3]


@holds("context_fuse", of=[CLIP])
def test_context_fuse_weighs_the_frames_that_windows_share_and_no_others() -> None:
    flat, pyramid = (torch.cat(_moving(3, 2, fuse).decoded) for fuse in ("flat", "pyramid"))
    same = [torch.allclose(one, other, atol=1e-5) for one, other in zip(flat, pyramid, strict=True)]
    # The first and the last frame are in one window each, the middle one in all three.
    assert same == [True, False, False, False, True]


@holds("context_length", "context_overlap", "context_fuse", of=[MASK])
@holds("context_schedule", "context_stride", "closed_loop", of=[MASK])
def test_mask_jobs_have_no_windows(node: NodeAtWork) -> None:
    plain = node.paint(MASK, ONE, frames=3)
    windows = {"context_length": 2, "context_overlap": 1, "context_fuse": "flat", "context_stride": 2}
    other = node.paint(MASK, ONE, frames=3, context_schedule="looped_uniform", closed_loop=True, **windows)  # type: ignore[arg-type]  # of Detailer
    assert [len(call.x) for call in plain.calls] == [len(call.x) for call in other.calls]
    assert np.array_equal(plain.frames, other.frames)
