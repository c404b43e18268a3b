"""Models as they are typed: names, folders, files."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.cli.typed import model_path, typed_draft
from farm.errors import Rejected


def test_a_folder_or_a_file_of_that_name_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model/model_index.json", "vae/config.json", "lora.safetensors"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("{}")
    assert [model_path(name) for name in ("model", "vae", "lora.safetensors", "demo", "other.safetensors")] == [
        *(Path(name) for name in ("model", "vae", "lora.safetensors")),
        None,
        None,
    ]


@pytest.mark.parametrize("name", ["./nothing", "~/nothing", "models/nothing.safetensors"])
def test_a_path_where_nothing_is_is_refused(name: str) -> None:
    with pytest.raises(Rejected, match=r"There is no file or folder .* looked up from"):
        model_path(name)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"is no \.safetensors or \.onnx file and has no model_index\.json"):
        model_path(str(tmp_path))


def test_loras_are_typed_with_commas() -> None:
    draft = typed_draft("clip.mp4", {}, {}, {"vae": "mse"}, {"loras": "detail:0.8, face:1:0.5"})
    assert draft["detailer"]["loras"] == ["detail:0.8", "face:1:0.5"]
    assert draft["vae"] == "mse"


def test_key_frames_are_typed_as_json() -> None:
    draft = typed_draft("clip.mp4", {}, {}, {}, {"keyframes": '{"denoise": [[1, 0.3], [120, 0.6]]}'})
    assert draft["detailer"]["keyframes"] == {"denoise": [[1, 0.3], [120, 0.6]]}
    set_ = {"mask": ["face=m.png"], "set": ['segments.face.denoise={"keyframes": [[1, 0.3]]}']}
    assert typed_draft("clip.mp4", set_, {}, {}, {})["segments"][0]["denoise"] == {"keyframes": [[1, 0.3]]}


@pytest.mark.parametrize("text", ["[[1, 0.3]]", "denoise"])
def test_key_frames_that_are_no_object_are_refused(text: str) -> None:
    with pytest.raises(Rejected, match="--keyframes is no JSON"):
        typed_draft("clip.mp4", {}, {}, {}, {"keyframes": text})


def test_an_option_ends_the_key_frames_of_the_document(tmp_path: Path) -> None:
    document = tmp_path / "job.json"
    document.write_text('{"detailer": {"keyframes": {"denoise": [[1, 0.3]], "cfg": [[1, 2]]}}}')
    draft = typed_draft("clip.mp4", {"document": document}, {}, {}, {"denoise": 0.4})
    assert draft["detailer"] == {"denoise": 0.4, "keyframes": {"cfg": [[1, 2]]}}
