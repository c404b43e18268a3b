"""What a job lays over its model: looked up at submit, refused where it cannot fit."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from farm.domain.detailer import Detailer
from farm.domain.model import LoraUse, ModelKind, ModelRef
from farm.domain.stack import embeddings_of, loras_of, second_model, texts_of
from farm.errors import NotFound, Rejected
from tests.jobs import source


def _ref(name: str, kind: ModelKind, **facts: Any) -> ModelRef:  # noqa: ANN401 - fields of ModelRef
    return ModelRef.model_validate({"name": name, "hash": name[0] * 64, "kind": kind, **facts})


SD1 = _ref("sd1", "model", family="sd1", text_width=768, latent_channels=4)
OLD = _ref("old", "model")
KEPT = {
    ref.name: ref
    for ref in (
        _ref("detail", "lora", family="sd1", text_width=768),
        _ref("xl", "lora", family="sdxl", text_width=2048),
        _ref("conv", "lora"),
        _ref("blur", "embedding", family="sd1", text_width=768),
        _ref("blur-xl", "embedding", family="sdxl", text_width=2048),
        _ref("mse", "vae", latent_channels=4),
        _ref("wide", "vae", latent_channels=16),
    )
}


def _find(name: str, kind: ModelKind | None = None) -> ModelRef:
    if name not in KEPT or KEPT[name].kind != kind:
        raise NotFound(f"There is no {kind} {name!r} on this farm; it has: ...")
    return KEPT[name]


def test_loras_become_content_and_weights_in_order() -> None:
    detailer = Detailer.model_validate({"loras": ["detail:0.5", {"model": "conv"}, "detail:-1:0.25"]})
    found = loras_of(detailer.loras, SD1, _find)
    assert [(lora.model.name, lora.weight, lora.clip_weight) for lora in found] == [
        ("detail", 0.5, 0.5),
        ("conv", 1.0, 1.0),
        ("detail", -1.0, 0.25),
    ]


def test_a_lora_of_another_family_is_refused_with_the_reason() -> None:
    with pytest.raises(Rejected, match=r"'xl' was made for SDXL .* 2048.*'sd1' is Stable Diffusion 1.x .* 768.*Choose"):
        loras_of((LoraUse(model="xl"),), SD1, _find)


def test_what_is_not_known_is_left_to_the_worker() -> None:
    assert loras_of((LoraUse(model="xl"),), OLD, _find)[0].model.name == "xl"
    assert second_model("VAE", "wide", "vae", OLD, _find) == KEPT["wide"]


def test_embeddings_are_found_in_the_prompts_and_by_the_names_that_a_job_gives_them() -> None:
    detailer = Detailer(prompt="a face embedding:blur.pt", negative="(embedding:neg/soft:1.2)")
    found = embeddings_of((detailer.prompt, detailer.negative), SD1, {"neg/soft": "blur"}, _find)
    assert found == {"blur.pt": KEPT["blur"], "neg/soft": KEPT["blur"]}
    assert embeddings_of(["blur"], SD1, {"blur": "blur"}, _find) == {}


def test_a_wildcards_choices_may_name_embeddings_whichever_is_taken() -> None:
    of = source("a", wildcard="[ASC] a face, {embedding:blur|plain} [SEP] {soft|dark} embedding:blur.pt")
    assert set(embeddings_of(texts_of(of), SD1, {}, _find)) == {"blur", "blur.pt"}


def test_an_embedding_that_is_not_there_or_does_not_fit_is_refused() -> None:
    with pytest.raises(NotFound, match=r"A prompt says `embedding:sharp`\. There is no embedding 'sharp'"):
        embeddings_of(["embedding:sharp"], SD1, {}, _find)
    with pytest.raises(Rejected, match="The embedding 'blur-xl' was made for SDXL"):
        embeddings_of(["embedding:blur-xl"], SD1, {}, _find)


def test_a_vae_must_have_the_models_latents() -> None:
    assert second_model("VAE", None, "vae", SD1, _find) is None
    assert second_model("VAE", "mse", "vae", SD1, _find) == KEPT["mse"]
    with pytest.raises(Rejected, match="The VAE 'wide' has latents of 16 channels; those of the model 'sd1' have 4"):
        second_model("VAE", "wide", "vae", SD1, _find)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("detail", LoraUse(model="detail")),
        ("detail:0.5", LoraUse(model="detail", weight=0.5)),
        ("detail:-0.5:1", LoraUse(model="detail", weight=-0.5, clip_weight=1)),
        ("C:/loras/x.safetensors:0.5", LoraUse(model="C:/loras/x.safetensors", weight=0.5)),
    ],
)
def test_a_lora_may_be_written_as_text(text: str, expected: LoraUse) -> None:
    assert LoraUse.model_validate(text) == expected


@pytest.mark.parametrize(
    "wrong", [{"model": "x", "weight": 1000}, {"weight": 1}, "x:1.2.3", {"model": "x", "wieght": 1}]
)
def test_a_lora_that_makes_no_sense_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        LoraUse.model_validate(wrong)
