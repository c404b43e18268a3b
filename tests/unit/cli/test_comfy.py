"""`farm comfy`: a workflow on disk, its files beside it, and a farm."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from farm.adapters.model_registry import add_model
from farm.adapters.pictures import decode, decode_mask, encode_png
from farm.cli.comfy_files import ComfyFiles
from farm.comfy.pictures import Channel, FileUse
from farm.comfy.workflow import Node
from farm.errors import Rejected
from tests.unit.cli.conftest import Run
from tests.unit.client.conftest import Running
from tests.unit.comfy.flows import Flow, flow, inputs

LOADER = Node("6", "LoadImage", "LoadImage", {})


@pytest.fixture
def saved(tmp_path: Path, running: Running, mask: Path) -> Path:
    """A workflow beside the mask that it names, and a farm with its model."""
    add_model("dreamshaper_8", tmp_path / "model", running.blobs)
    (tmp_path / "clipspace").mkdir()
    mask.rename(tmp_path / "clipspace" / "face.png")
    return written(tmp_path / "workflow.json", flow())


def written(path: Path, made: Flow) -> Path:
    path.write_text(json.dumps(made))
    return path


def test_a_workflow_is_submitted_and_its_frames_are_made(near: Run, saved: Path, clip: Path, running: Running) -> None:
    said = near("comfy", "submit", saved, "--frames", clip, "--set", "segments.face.steps=2")
    assert said.code == 0, said.err
    job = said.out.strip()
    running.work()
    document = near("job", "get", job, "--json").json()["document"]
    (source,) = document["sources"]
    assert (source["name"], source["detailer"]["steps"], source["detailer"]["seed"]) == ("face", 2, 77)
    assert document["model"]["name"] == "dreamshaper_8"
    assert source["detailer"]["hooks"][0]["kind"] == "variation_noise"
    assert near("job", "get", job, "--json").json()["status"] == "completed"


def test_a_dry_run_says_what_the_job_would_be(near: Run, saved: Path, clip: Path) -> None:
    said = near("comfy", "submit", saved, "--frames", clip, "--range", "9-10", "--dry-run", "--json")
    assert said.code == 0, said.err
    assert said.json()["frames"] == 2


def test_check_tells_of_every_node(near: Run, saved: Path, clip: Path) -> None:
    said = near("comfy", "check", saved, "--frames", clip)
    assert said.code == 0
    for node in flow():
        assert f"\n{node} " in said.out
    assert "can be submitted" in said.err
    found = near("comfy", "check", saved, "--frames", clip, "--json").json()
    assert found["request"]["segments"][0]["name"] == "face"
    assert found["problems"] == []


def test_check_ends_with_all_that_cannot_be_carried(near: Run, saved: Path, tmp_path: Path) -> None:
    said = near("comfy", "check", written(tmp_path / "bad.json", flow("cannot_model_patch")), "--frames", "clip")
    assert said.code == 65
    assert said.out.count("Cannot be carried: node") == 4
    assert "FreeU_V2" in said.out


def test_submit_sends_nothing_where_something_cannot_be_carried(near: Run, saved: Path, tmp_path: Path) -> None:
    said = near("comfy", "submit", written(tmp_path / "bad.json", flow("cannot_model_patch")), "--frames", "clip")
    assert said.code == 65
    assert "cannot be carried to the farm, for 4 things" in said.err
    assert near("job", "list", "--json").json() == []


def test_without_a_farm_check_does_not_look_models_up(farm: Run, tmp_path: Path, mask: Path) -> None:
    path = written(tmp_path / "workflow.json", flow())
    said = farm("comfy", "check", path, "--frames", "clip", "--mask", mask)
    assert said.code == 0, said.out
    assert "models are not looked up" in said.err


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "is no JSON"), ("[" * 100_000, "is no JSON"), ('{"nodes": []}', "as ComfyUI's page saves it")],
)
def test_a_file_that_is_no_workflow_is_refused_in_words(near: Run, tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "w.json"
    path.write_text(text)
    said = near("comfy", "check", path)
    assert said.code == 65
    assert told in said.err
    assert "Traceback" not in said.err


def test_a_picture_that_comfyui_saved_holds_its_workflow(near: Run, saved: Path, clip: Path, tmp_path: Path) -> None:
    notes = PngInfo()
    notes.add_text("prompt", json.dumps(flow()))
    Image.new("RGB", (8, 8)).save(tmp_path / "detailed_00001_.png", pnginfo=notes)
    said = near("comfy", "check", tmp_path / "detailed_00001_.png", "--frames", clip)
    assert said.code == 0, said.err
    assert "can be submitted" in said.err


def test_a_picture_without_a_workflow_is_refused_in_words(near: Run, tmp_path: Path, mask: Path) -> None:
    assert "holds no workflow" in near("comfy", "check", mask).err
    (tmp_path / "cut.png").write_bytes(mask.read_bytes()[:20])
    assert "cannot be read" in near("comfy", "check", tmp_path / "cut.png").err


@pytest.mark.parametrize(("option", "value"), [("--map", "dream"), ("--map", "=x"), ("--mask", "6=")])
def test_a_pair_that_is_none_is_refused(near: Run, saved: Path, option: str, value: str) -> None:
    said = near("comfy", "check", saved, option, value)
    assert said.code == 65
    assert option in said.err


def use(name: str, channel: Channel = "", inverted: bool = False, folder: bool = False) -> FileUse:
    return FileUse(LOADER, "image", name, channel, inverted, folder)


def test_a_mask_is_made_as_comfyui_loads_it(tmp_path: Path) -> None:
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[1:3, 2:4, 3] = 0
    pixels[0, :, 1] = 200
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "painted.png").write_bytes(encode_png(pixels))
    files = ComfyFiles(tmp_path, tmp_path / "scratch")
    clear = decode_mask(Path(files.find(use("painted.png", "alpha", inverted=True)) or "").read_bytes())
    assert clear.tolist() == ((255 - pixels[..., 3]) / 255).tolist()
    green = decode(Path(files.find(use("painted.png", "green")) or "").read_bytes())
    assert green[..., 0].tolist() == pixels[..., 1].tolist()


def test_masks_of_a_folder_keep_their_names(tmp_path: Path, clip: Path) -> None:
    made = Path(ComfyFiles(tmp_path, tmp_path / "scratch").find(use("clip", "blue", inverted=True, folder=True)) or "")
    assert sorted(path.name for path in made.iterdir()) == sorted(path.name for path in clip.iterdir())
    assert ComfyFiles(tmp_path, tmp_path / "scratch").find(use("clip", "red", folder=True)) == str(clip)


def test_a_picture_without_transparency_is_no_painted_mask(tmp_path: Path, mask: Path) -> None:
    with pytest.raises(Rejected, match="has no transparency"):
        ComfyFiles(tmp_path, tmp_path / "scratch").find(use("face.png", "alpha", inverted=True))


def test_a_broken_picture_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    with pytest.raises(Rejected, match=r"'x\.png' cannot be read"):
        ComfyFiles(tmp_path, tmp_path / "scratch").find(use("x.png", "alpha"))


@pytest.mark.parametrize("name", ["../secret.png", "{root}/secret.png", "a" * 300, "", "nul\0.png", "C:/secret.png"])
def test_nothing_outside_of_the_folder_is_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"")
    inside = tmp_path / "inside"
    inside.mkdir()
    assert ComfyFiles(inside, tmp_path / "scratch").find(use(name.replace("{root}", str(tmp_path)))) is None


def test_a_file_of_an_absolute_path_is_taken_from_beside_the_workflow(tmp_path: Path, mask: Path) -> None:
    assert ComfyFiles(tmp_path, tmp_path / "scratch").find(use("/elsewhere/face.png")) == str(mask)


def test_the_workflows_own_clip_is_taken_where_it_lies_beside_it(near: Run, saved: Path, clip: Path) -> None:
    made = flow()
    made["5"] = {"class_type": "VHS_LoadImages", "inputs": {"directory": "clip"}}
    inputs(made, "7")["image"] = ["5", 0]
    said = near("comfy", "submit", written(saved, made), "--dry-run", "--json")
    assert said.code == 0, said.err
    assert said.json()["frames"] == 5
