"""`farm model …` and the client's half of it, against a farm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from farm.adapters.model_folder import blob_name
from farm.adapters.model_registry import Added
from farm.cli.main import main
from farm.client import Farm
from farm.errors import NotFound, Rejected
from tests.unit.adapters.weights import checkpoint, write_weights
from tests.unit.client.conftest import KEY, Running


class Typed:
    """The command line, pointed to a farm."""

    def __init__(self, running: Running, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        patch.setenv("FARM_URL", running.url)
        patch.setenv("FARM_API_KEY", KEY.partition(":")[2])
        self._capture = capture

    def __call__(self, *words: object) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        with pytest.raises(SystemExit) as ended:
            main(["model", *map(str, words)])
        said = self._capture.readouterr()
        return int(ended.value.code or 0), said.out, said.err


@pytest.fixture
def farm(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Typed]:
    monkeypatch.setenv("FARM_DATA_DIR", str(tmp_path / "data"))
    yield Typed(running, monkeypatch, capsys)
    # The command line sends logs to what standard error was during the test.
    structlog.reset_defaults()


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "x.safetensors", {"unet.attn2.to_k.lora_A.weight": (4, 768)})


def test_a_file_is_added_listed_and_shown(farm: Typed, lora: Path) -> None:
    code, added, hint = farm("add", "detail", lora)
    assert code == 0
    assert "--loras detail:0.8" in hint
    code, listed, _ = farm("list", "--kind", "lora", "--json")
    assert [(model["name"], model["kind"], model["hash"]) for model in json.loads(listed)] == [
        ("detail", "lora", added.strip())
    ]
    code, shown, _ = farm("show", "detail")
    assert code == 0
    for text in ("lora", "Stable Diffusion 1.x", "768", added.strip(), "weights.safetensors"):
        assert text in shown
    assert "demo" in farm("list")[1]


def test_damage_is_found_and_repaired(farm: Typed, lora: Path, running: Running) -> None:
    farm("add", "detail", lora)
    assert farm("verify")[0] == 0
    digest = json.loads(farm("show", "detail", "--json")[1])["files"][0]["sha256"]
    running.blobs.put(blob_name(digest), b"x" * lora.stat().st_size)
    code, said, hint = farm("verify", "detail")
    assert code == 1
    assert "damaged" in said
    assert "--again" in hint
    farm("add", "detail", lora)
    assert farm("verify", "detail")[0] == 1
    farm("add", "detail", lora, "--again")
    assert farm("verify", "detail")[0] == 0


def test_what_cannot_be_used_is_refused_in_one_paragraph_before_anything_is_sent(
    farm: Typed, tmp_path: Path, running: Running
) -> None:
    (tmp_path / "x.ckpt").write_bytes(b"")
    own = write_weights(tmp_path / "own.safetensors", checkpoint("sd1", tokens=994))
    for words, says in {
        "pickle": ((tmp_path / "x.ckpt",), "is a pickle, which runs code"),
        "vocabulary": ((own,), "--tokenizer FOLDER"),
        "kind": ((write_weights(tmp_path / "e.safetensors", {"emb_params": (4, 768)}), "--kind", "lora"), "not a LoRA"),
        "folder": ((tmp_path / "nothing",), "is no folder and no file"),
        "name": ((own, "--tokenizer", tmp_path / "nothing"), "holds no tokenizer"),
    }.values():
        code, _, told = farm("add", "x", *words)
        assert code != 0
        assert says in told.replace("\n", " ")
    assert [name for name in running.blobs.list("models/names/") if "/x." in name] == []
    assert farm("show", "x")[0] != 0


def test_a_checkpoint_may_come_with_a_vocabulary_and_with_what_it_predicts(client: Farm, tmp_path: Path) -> None:
    own = write_weights(tmp_path / "own.safetensors", checkpoint("sd2", tokens=994))
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "vocab.json").write_text("{}")
    added = client.add_model("own", own, added=Added(tmp_path / "tokens", "v_prediction"))
    model, files = client.model("own")
    assert model == added
    assert (model.family, model.text_width, model.latent_channels) == ("sd2", 1024, 4)
    assert {file.path for file in files} == {"weights.safetensors", "tokenizer/vocab.json", "farm.json"}
    with pytest.raises(NotFound):
        client.model("nothing")
    with pytest.raises(Rejected, match="not a VAE"):
        client.add_model("own", own, added=Added(tmp_path / "tokens", kind="vae"))
