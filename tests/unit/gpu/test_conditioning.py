from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from farm.detail.enhance import CropInput
from farm.domain.detailer import Detailer, JobType
from farm.domain.model import Family
from tests.unit.gpu.demo import demo_model
from tests.unit.gpu.families import SUMMARY, WIDTH, tiny
from workers.gpu.batch import Batch
from workers.gpu.clip import NoSuchLayer
from workers.gpu.conditioning import Encoded, TextEncoder
from workers.gpu.faults import BadModel
from workers.gpu.guidance import guidance_of, mixed
from workers.gpu.models import load_model
from workers.gpu.parts import read_parts

CPU, FP32 = torch.device("cpu"), torch.float32


def test_a_short_prompt_is_one_chunk_of_77_tokens() -> None:
    assert demo_model().text.encode("sharp, detailed").shape == (1, 77, 128)
    assert demo_model().text.encode("").shape == (1, 77, 128)


def test_a_long_prompt_is_encoded_chunk_by_chunk() -> None:
    text = demo_model().text
    long = text.encode("sharp " * 200)
    assert long.shape[1] % 77 == 0
    assert long.shape[1] > 77
    assert torch.equal(long[:, :77], text.encode("sharp " * 400)[:, :77])


def test_break_encodes_each_part_by_itself() -> None:
    text = demo_model().text
    both = text.encode("a fox BREAK (a bear:1.2)")
    assert torch.allclose(both, torch.cat([text.encode("a fox"), text.encode("(a bear:1.2)")], dim=1), atol=1e-5)


def test_a_weight_of_one_changes_nothing() -> None:
    text = demo_model().text
    assert torch.allclose(text.encode("sharp (fox:1.0)"), text.encode("sharp fox"), atol=1e-6)


def test_a_weight_moves_tokens_away_from_the_empty_prompts() -> None:
    text = demo_model().text
    plain, empty = text.encode("fox"), text.encode("")
    heavy, light = text.encode("(fox:1.5)"), text.encode("(fox:0)")
    changed = (heavy != plain).any(dim=-1)[0]
    assert 0 < int(changed.sum()) < 20
    assert torch.allclose(heavy[0, changed], (empty + 1.5 * (plain - empty))[0, changed], atol=1e-5)
    assert torch.allclose(light[0, changed], empty[0, changed], atol=1e-5)


def test_a_prompt_is_encoded_once() -> None:
    text = demo_model().text
    assert text.encode("a brown bear") is text.encode("a brown bear")
    assert text.encoded("a brown bear", -2) is not text.encoded("a brown bear")
    kept = text.encode("a brown bear")
    text.forget()
    assert text.encode("a brown bear") is not kept


def _text(family: Family, folder: Path) -> TextEncoder:
    return TextEncoder(read_parts(tiny(family).folder(folder), FP32).clips)


def _pipeline(kind: str, folder: Path) -> Any:  # noqa: ANN401 - diffusers is untyped
    more = {} if "XL" in kind else {"safety_checker": None, "feature_extractor": None}
    (folder / "model_index.json").unlink()
    parts = read_parts_of(folder)
    return getattr(diffusers, kind)(**parts, **more)


def read_parts_of(folder: Path) -> dict[str, Any]:
    """The networks of a folder as diffusers' and transformers' own classes load them."""
    import transformers

    found: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        names: tuple[Any, str] = {
            "unet": (diffusers, "UNet2DConditionModel"),
            "vae": (diffusers, "AutoencoderKL"),
            "scheduler": (diffusers, "EulerDiscreteScheduler"),
            "text_encoder": (transformers, "CLIPTextModel"),
            "text_encoder_2": (transformers, "CLIPTextModelWithProjection"),
            "tokenizer": (transformers, "CLIPTokenizer"),
            "tokenizer_2": (transformers, "CLIPTokenizer"),
        }[path.name]
        found[path.name] = getattr(*names).from_pretrained(path)
    return found


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_the_layer_is_that_of_diffusers_own_pipeline(family: Family, tmp_path: Path) -> None:
    text = _text(family, tmp_path)
    pipeline = _pipeline("StableDiffusionPipeline", tmp_path)
    expected = pipeline.encode_prompt("a sharp fox", CPU, 1, False)[0]
    assert torch.allclose(text.encode("a sharp fox"), expected, atol=1e-5)


@pytest.mark.parametrize(("family", "clip_skip"), [("sd1", -1), ("sd1", -2), ("sd1", -3), ("sd2", -2), ("sd2", -3)])
def test_clip_skip_counts_layers_from_the_end_and_norms_what_it_finds(
    family: Family, clip_skip: int, tmp_path: Path
) -> None:
    text = _text(family, tmp_path)
    encoder = text.clips[0].encoder
    numbers = [992, *text.clips[0].tokens("a sharp fox"), 993]
    padded = numbers + [993 if family == "sd1" else 0] * (77 - len(numbers))
    layers = encoder(torch.tensor([padded]), output_hidden_states=True).hidden_states
    # Folders of Stable Diffusion 2.x have no last layer.
    expected = encoder.final_layer_norm(layers[clip_skip + (family == "sd2")])
    assert torch.allclose(text.encoded("a sharp fox", clip_skip).hidden, expected, atol=1e-5)


@pytest.mark.parametrize("clip_skip", [None, 1])
def test_both_text_encoders_of_sdxl_are_taken_as_by_diffusers_own_pipeline(
    clip_skip: int | None, tmp_path: Path
) -> None:
    text = _text("sdxl", tmp_path)
    pipeline = _pipeline("StableDiffusionXLPipeline", tmp_path)
    hidden, _, pooled, _ = pipeline.encode_prompt(
        "a sharp fox", device=CPU, do_classifier_free_guidance=False, clip_skip=clip_skip
    )
    found = text.encoded("a sharp fox", None if clip_skip is None else -2 - clip_skip)
    assert found.pooled is not None
    assert found.hidden.shape == (1, 77, 2 * WIDTH)
    assert found.pooled.shape == (1, SUMMARY)
    assert torch.allclose(found.hidden, hidden, atol=1e-5)
    assert torch.allclose(found.pooled, pooled, atol=1e-5)


def test_a_prompt_as_a_whole_is_its_first_chunk_without_weights(tmp_path: Path) -> None:
    text = _text("sdxl", tmp_path)
    plain, heavy, longer = (text.encoded(p).pooled for p in ("a fox", "a (fox:1.5)", "a fox BREAK a bear"))
    assert plain is not None
    assert heavy is not None
    assert longer is not None
    assert torch.allclose(plain, heavy, atol=1e-5)
    assert torch.allclose(plain, longer, atol=1e-5)


@pytest.mark.parametrize(("family", "clip_skip"), [("sd1", -4), ("sd2", -1), ("sd2", -4), ("sdxl", -4)])
def test_a_layer_that_there_is_not_is_refused(family: Family, clip_skip: int, tmp_path: Path) -> None:
    lowest, highest = {"sd1": (-3, -1), "sd2": (-3, -2), "sdxl": (-3, -1)}[family]
    with pytest.raises(NoSuchLayer, match=f"`clip_skip` is {clip_skip}; .* the layers {highest} to {lowest}"):
        _text(family, tmp_path).encoded("a fox", clip_skip)


def _embedding(path: Path, **vectors: Tensor) -> Path:
    path.mkdir(parents=True)
    save_file(vectors, path / "weights.safetensors")
    return path


def test_an_embeddings_vectors_stand_where_the_prompt_names_it(tmp_path: Path) -> None:
    model = load_model(tiny("sd1").single(tmp_path / "model"), False, CPU, FP32)
    clip = model.text.clips[0]
    table = clip.encoder.embeddings.token_embedding.weight
    (number,) = clip.tokens("fox")[:1]
    words = clip.tokens("fox")
    twin = {"twin": _embedding(tmp_path / "twin", emb_params=table[words].clone())}
    assert torch.allclose(
        model.text.encoded("a (embedding:twin:1.2) bear", None, twin).hidden,
        model.text.encoded("a (fox:1.2) bear").hidden,
        atol=1e-5,
    )
    other = {"twin": _embedding(tmp_path / "other", emb_params=table[[number + 1] * len(words)].clone())}
    assert not torch.equal(
        model.text.encoded("a embedding:twin", None, other).hidden,
        model.text.encoded("a embedding:twin", None, twin).hidden,
    )


def test_an_embedding_has_a_part_for_each_text_encoder(tmp_path: Path) -> None:
    text = _text("sdxl", tmp_path / "model")
    tables = [clip._inner.embeddings.token_embedding.weight for clip in text.clips]
    words = text.clips[0].tokens("fox")
    vectors = {slot: table[words].clone() for slot, table in zip(("clip_l", "clip_g"), tables, strict=True)}
    found = text.encoded("a embedding:x,", None, {"x": _embedding(tmp_path / "x", **vectors)})
    expected = text.encoded("a fox ,")
    assert torch.allclose(found.hidden, expected.hidden, atol=1e-5)
    assert found.pooled is not None
    assert expected.pooled is not None
    assert torch.allclose(found.pooled, expected.pooled, atol=1e-5)


def test_an_embedding_of_another_width_or_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    text = _text("sd1", tmp_path / "model")
    with pytest.raises(BadModel, match=r"'x' has vectors of width 768, where its text encoder \(clip_l\) has 64"):
        text.encoded("embedding:x", None, {"x": _embedding(tmp_path / "x", emb_params=torch.zeros(2, 768))})
    (tmp_path / "y").mkdir()
    with pytest.raises(BadModel, match="the embedding 'y' cannot be read"):
        text.encoded("embedding:y", None, {"y": tmp_path / "y"})


def test_a_prompt_that_fades_is_the_mean_of_both_by_the_share_of_the_way() -> None:
    text = demo_model().text
    day, night = text.encoded("day"), text.encoded("night")
    between = mixed([(day, 0.75), (night, 0.25)])
    assert torch.allclose(between.hidden, 0.75 * day.hidden + 0.25 * night.hidden, atol=1e-6)
    assert between.pooled is None


def test_prompts_of_unlike_length_are_repeated_to_a_common_one_before_they_are_mixed() -> None:
    short, long = Encoded(torch.ones(1, 77, 4), torch.ones(1, 4)), Encoded(torch.zeros(1, 154, 4), torch.zeros(1, 4))
    between = mixed([(short, 0.25), (long, 0.75)])
    assert torch.equal(between.hidden, torch.full((1, 154, 4), 0.25))
    assert between.pooled is not None
    assert torch.equal(between.pooled, torch.full((1, 4), 0.25))


def test_a_batch_is_told_its_prompt_and_what_it_fades_into() -> None:
    model = demo_model()
    crop = CropInput(np.zeros((8, 8, 3), np.float32), None, (8, 8), 0, 0, ("day",), toward=("night",), share=0.25)
    batch = Batch(JobType.MASK, Detailer(), (crop,), Path(), None, 1)
    told = guidance_of(model, batch, None).positive
    expected = mixed([(model.text.encoded("day"), 0.75), (model.text.encoded("night"), 0.25)])
    assert torch.equal(told, expected.hidden)
