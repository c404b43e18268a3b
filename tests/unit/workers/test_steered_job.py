"""A job with everything that steers a segment: real classes, a ControlNet of random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from farm.adapters.pictures import decode, encode_png
from farm.domain.job import JobRequest
from farm.domain.state import JobState
from farm.settings import Settings
from tests.packages import install_hooks
from tests.unit.gpu.demo import FOLDER
from tests.unit.gpu.tiny import save_control_net
from workers.local_render import LocalFarm


def _pictures(folder: Path, count: int, inside: int) -> Path:
    folder.mkdir()
    for number in range(count):
        picture = np.random.default_rng(number).integers(0, 60, (48, 64, 3), dtype=np.uint8)
        picture[8:40, 4 + number : 28 + number] += np.uint8(inside)
        (folder / f"{number + 1:04d}.png").write_bytes(encode_png(picture))
    return folder


def _mask(path: Path, *boxes: tuple[int, int, int, int]) -> Path:
    mask = np.zeros((48, 64), dtype=np.uint8)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = 255
    path.write_bytes(encode_png(mask))
    return path


def test_controlnet_refiner_hooks_texts_and_further_prompts_in_one_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_hooks(tmp_path / "packages", monkeypatch)
    net = save_control_net(tmp_path / "net")
    (net / "model_index.json").write_text("{}")
    local = LocalFarm(tmp_path / "store", Settings.read(engine="diffusers", device="cpu"))
    try:
        local.add_model("demo", FOLDER)
        local.add_model("net", net)
        clip, edges = (local.admit(_pictures(tmp_path / name, 2, 180)) for name in ("clip", "edges"))
        mask = local.admit(_mask(tmp_path / "mask.png", (4, 8, 28, 40), (40, 10, 60, 30)))
        segment = {
            "name": "things",
            "mask": mask,
            "wildcard": "[CONCAT] [ASC] dark [SEP:5] light",
            "controlnets": [
                {"model": "net", "image": edges, "strength": 0.8, "end_percent": 0.9},
                {"model": "net", "preprocessor": "canny"},
            ],
            "conditionings": [{"prompt": "gray", "mask": mask, "strength": 2}],
            "hooks": [
                {"kind": "noise_injection", "start_strength": 0.05, "end_strength": 0.05},
                {"kind": "variation_noise", "variation_seed": 3, "variation_strength": 0.3},
                {"kind": "denoise_schedule", "target_denoise": 0.3},
                {"kind": "plugin", "name": "softening", "parameters": {"share": 0.1}},
                {"kind": "preview"},
            ],
        }
        steering = {"wildcard", "controlnets", "conditionings", "hooks"}
        detailer = {"steps": 3, "cycle": 2, "cfg": 2, "crop_factor": 1.2, "guide_size": 64, "max_size": 64}
        plain = {"input": {"uri": clip}, "model": "demo", "refiner": "demo", "detailer": detailer, "outputs": ["cnet"]}
        found = []
        for kept in (steering, *({*steering} - {one} for one in sorted(steering)), set[str]()):
            asked = {name: value for name, value in segment.items() if name in kept or name in ("name", "mask")}
            status = local.run(JobRequest.model_validate({**plain, "segments": [asked]}))
            assert status.state is JobState.COMPLETED, status.activity
            job = f"jobs/{status.facts.id}"
            found.append([decode(local.blobs.get(f"{job}/frames/{number:04d}.png")) for number in (1, 2)])
            pictures = [name.removeprefix(f"{job}/cnet/") for name in local.blobs.list(f"{job}/cnet/")]
            assert len(pictures) == (8 if "controlnets" in kept else 0)
            assert len(list(local.blobs.list(f"{job}/preview/"))) == (4 if "hooks" in kept else 0)
    finally:
        local.close()
    for number, frames in enumerate(found):
        for others in found[number + 1 :]:
            assert not np.array_equal(frames[0], others[0])
            assert not np.array_equal(frames[1], others[1])
