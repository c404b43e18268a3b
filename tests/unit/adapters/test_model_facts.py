"""What files are, by what they hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.model_facts import ModelFacts, facts_of
from farm.adapters.model_folder import ModelFile, StoredFiles, packed, upload
from farm.adapters.model_sources import LocalFiles, gathered
from farm.domain.model import Family, ModelKind
from farm.errors import Rejected, TooLarge
from tests.unit.adapters.weights import Shapes, checkpoint, write_weights

ATTENTION = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


def facts(path: Path) -> ModelFacts:
    """Of a file or a folder of this machine."""
    return facts_of(LocalFiles(gathered(path)), path.name)


@pytest.mark.parametrize(
    ("family", "width"), [("sd1", 768), ("sd2", 1024), ("sdxl", 2048), ("sdxl_refiner", 1280)], ids=str
)
def test_a_checkpoints_family_is_known_by_its_text_encoder(family: Family, width: int, tmp_path: Path) -> None:
    file = write_weights(tmp_path / "misleading-sdxl-name.safetensors", checkpoint(family))
    assert facts(file) == ModelFacts("model", family, width, 4, vocabulary=49_408)


SINGLE: list[tuple[Shapes, ModelKind, Family, int]] = [
    ({"decoder.conv_in.weight": (9, 4, 3, 3), "encoder.conv_in.weight": (9, 3, 3, 3)}, "vae", "", 0),
    ({f"{ATTENTION}.lora_down.weight": (8, 768), f"{ATTENTION}.lora_up.weight": (320, 8)}, "lora", "sd1", 768),
    ({"unet.x.attn2.to_k.lora_A.weight": (8, 2048), "unet.x.attn2.to_k.lora_B.weight": (9, 8)}, "lora", "sdxl", 2048),
    (
        {"lora_te2_text_model_x.lora_down.weight": (8, 9), "lora_te2_text_model_x.lora_up.weight": (9, 8)},
        "lora",
        "sdxl",
        0,
    ),
    ({"unet.attn2.processor.to_k_lora.down.weight": (4, 1024)}, "lora", "sd2", 1024),
    ({"emb_params": (4, 768)}, "embedding", "sd1", 768),
    ({"<blur>": (768,)}, "embedding", "sd1", 768),
    ({"clip_l": (4, 768), "clip_g": (4, 1280)}, "embedding", "sdxl", 2048),
    ({"down_blocks.0.motion_modules.0.x.weight": (4, 4)}, "motion", "", 0),
    ({"down_blocks.0.motion_modules.0.x.processor.to_q_lora.down.weight": (4, 4)}, "motion_lora", "", 0),
    ({"control_model.input_hint_block.0.weight": (4, 4)}, "controlnet", "", 0),
]


@pytest.mark.parametrize(("shapes", "kind", "family", "width"), SINGLE, ids=[next(iter(row[0])) for row in SINGLE])
def test_other_files_are_known_by_names_and_shapes(
    shapes: Shapes, kind: ModelKind, family: Family, width: int, tmp_path: Path
) -> None:
    found = facts(write_weights(tmp_path / "x.safetensors", shapes))
    assert (found.kind, found.family, found.text_width) == (kind, family, width)


UNET = "model.diffusion_model."
REFUSED: list[tuple[Shapes, str]] = [
    ({"wte.weight": (4, 4), "wpe.weight": (4, 4)}, "belong to nothing that the farm knows; the first are 'wpe.weight'"),
    (
        {f"{UNET}double_blocks.0.img_attn.qkv.weight": (4, 4)},
        "its network is not the UNet of Stable Diffusion. It runs Stable Diffusion 1.x, 2.x and SDXL",
    ),
    ({n: s for n, s in checkpoint("sd1").items() if n.startswith(UNET)}, "has no VAE and no text encoder"),
    ({n: s for n, s in checkpoint("sd1").items() if "first_stage" not in n}, "has no VAE. Take the full file"),
    ({"x.hada_w1_a": (4, 4), "x.lora_down.weight": (4, 4)}, "parts of DoRA, LoHa or LoKr"),
    (checkpoint("sd1", tokens=994), "knows 994 tokens. .* --tokenizer FOLDER"),
]


@pytest.mark.parametrize(("shapes", "says"), REFUSED, ids=[says[:30] for _, says in REFUSED])
def test_what_the_farm_cannot_use_is_refused_with_what_to_do(shapes: Shapes, says: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=says):
        facts(write_weights(tmp_path / "x.safetensors", shapes))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "it has no header"),
        (b"PK\x03\x04 a zip, as pickles are, with more bytes behind", "it has no header"),
        ((4).to_bytes(8, "little") + b"nope", "its header cannot be read"),
        (
            (80).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'.ljust(80),
            "it ends after",
        ),
    ],
    ids=["empty", "zip", "no JSON", "cut off"],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(data: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(data)
    with pytest.raises(Rejected, match=f"'x.safetensors' is no sound .safetensors file: {says}"):
        facts(file)


@pytest.mark.parametrize("name", ["model.ckpt", "lora.pt", "x.bin", "x.pth"])
def test_pickles_are_refused_with_how_to_convert_them(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x80")
    with pytest.raises(Rejected, match=r"is a pickle, which runs code .* weights_only=True.*save_file"):
        gathered(tmp_path / name)


def test_any_other_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"")
    with pytest.raises(Rejected, match=r"is no \.safetensors file"):
        gathered(tmp_path / "x.gguf")


FOLDERS: list[tuple[dict[str, object], Family]] = [
    (
        {"text_encoder/config.json": {"hidden_act": "quick_gelu"}, "unet/config.json": {"cross_attention_dim": 768}},
        "sd1",
    ),
    ({"text_encoder/config.json": {"hidden_act": "gelu"}, "unet/config.json": {"cross_attention_dim": 1024}}, "sd2"),
    (
        {
            "text_encoder/config.json": {"hidden_act": "quick_gelu"},
            "text_encoder_2/config.json": {"hidden_act": "gelu"},
            "unet/config.json": {"cross_attention_dim": 2048, "addition_embed_type": "text_time"},
        },
        "sdxl",
    ),
    (
        {
            "text_encoder_2/config.json": {"hidden_act": "gelu"},
            "unet/config.json": {"cross_attention_dim": [1280], "addition_embed_type": "text_time"},
        },
        "sdxl_refiner",
    ),
    ({}, ""),
]


def _write(folder: Path, documents: dict[str, object]) -> Path:
    for name, document in documents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize(("documents", "family"), FOLDERS, ids=[family or "unknown" for _, family in FOLDERS])
def test_a_folders_family_is_known_by_its_configurations(
    documents: dict[str, object], family: Family, tmp_path: Path
) -> None:
    found = facts(_write(tmp_path, {"model_index.json": {}, **documents}))
    assert (found.kind, found.family) == ("model", family)


def test_a_folder_with_one_network_is_what_its_configuration_says(tmp_path: Path) -> None:
    vae = facts(_write(tmp_path / "vae", {"config.json": {"_class_name": "AutoencoderKL", "latent_channels": 16}}))
    assert (vae.kind, vae.latent_channels) == ("vae", 16)
    config = {"_class_name": "ControlNetModel", "cross_attention_dim": 2048}
    net = facts(_write(tmp_path / "net", {"config.json": config}))
    assert (net.kind, net.text_width) == ("controlnet", 2048)
    assert facts(_write(tmp_path / "motion", {"config.json": {"_class_name": "MotionAdapter"}})).kind == "motion"
    with pytest.raises(Rejected, match="holds a 'UNet2DConditionModel', which the farm cannot use by itself"):
        facts(_write(tmp_path / "unet", {"config.json": {"_class_name": "UNet2DConditionModel"}}))


def test_a_folder_with_an_image_encoder_and_one_file_is_an_ip_adapter(tmp_path: Path) -> None:
    _write(tmp_path, {"image_encoder/config.json": {}})
    with pytest.raises(Rejected, match="has an image encoder, as IP-Adapters have, but not the adapter"):
        facts(tmp_path)
    write_weights(tmp_path / "ip.safetensors", {"ip_adapter.1.to_k_ip.weight": (320, 768), "image_proj.x": (1,)})
    assert facts(tmp_path) == ModelFacts("ip_adapter", text_width=768)


def test_a_single_file_may_have_a_vocabulary_of_its_own_and_its_name_does_not_matter(tmp_path: Path) -> None:
    file = write_weights(tmp_path / "a.safetensors", checkpoint("sd1", tokens=994))
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "vocab.json").write_text("{}")
    (tmp_path / "tokens" / "notes.md").write_text("")
    assert sorted(gathered(file, tmp_path / "tokens")) == ["tokenizer/vocab.json", "weights.safetensors"]
    with (
        packed(file, tmp_path / "tokens") as one,
        packed(file.rename(tmp_path / "b.safetensors"), tmp_path / "tokens") as other,
    ):
        assert one.manifest == other.manifest
    with pytest.raises(Rejected, match="holds no tokenizer"):
        gathered(tmp_path / "b.safetensors", tmp_path)
    with pytest.raises(Rejected, match="A tokenizer is given with a single file"):
        gathered(tmp_path, tmp_path / "tokens")


def test_what_a_network_predicts_may_be_said_of_a_file_and_changes_the_model(tmp_path: Path) -> None:
    file = write_weights(tmp_path / "a.safetensors", checkpoint("sd2"))
    with packed(file, prediction="v_prediction") as said, packed(file) as plain:
        assert said.manifest.hash != plain.manifest.hash
        assert json.loads(said.files["farm.json"].read_text()) == {"prediction_type": "v_prediction"}
    with pytest.raises(Rejected, match=r"scheduler_config\.json"), packed(tmp_path, prediction="epsilon"):
        pass


def test_the_store_tells_the_same_as_the_disk(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    file = write_weights(tmp_path / "a.safetensors", checkpoint("sdxl"))
    folder = _write(tmp_path / "model", {"model_index.json": {}, **FOLDERS[0][0]})
    for path in (file, folder):
        assert facts_of(StoredFiles(upload(path, blobs), blobs), "x") == facts(path)


def test_a_configuration_without_end_is_not_read(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    manifest = upload(_write(tmp_path, {"model_index.json": {}, "unet/config.json": {}}), blobs)
    files = tuple(ModelFile(path=f.path, sha256=f.sha256, size=1 << 30) for f in manifest.files)
    with pytest.raises(TooLarge, match=r"'unet/config\.json' has 1073741824 bytes"):
        facts_of(StoredFiles(manifest.model_copy(update={"files": files}), blobs), "x")
