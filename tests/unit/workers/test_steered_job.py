"""A job with everything that steers a segment: real classes, ControlNet and IP-Adapter of random weights."""

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
from tests.unit.gpu.tiny import save_control_net, save_ip_adapter
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


def test_controlnet_ip_adapter_refiner_hooks_texts_and_further_prompts_in_one_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_hooks(tmp_path / "packages", monkeypatch)
    net = save_control_net(tmp_path / "net")
    adapter = save_ip_adapter(tmp_path / "adapter")
    local = LocalFarm(tmp_path / "store", Settings.read(engine="diffusers", device="cpu"))
    try:
        local.add_model("demo", FOLDER)
        local.add_model("net", net)
        local.add_model("adapter", adapter)
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
            "image_prompts": [{"model": "adapter", "image": edges, "weight": 0.6}],
            "conditionings": [{"prompt": "gray", "mask": mask, "strength": 2}],
            "hooks": [
                {"kind": "noise_injection", "start_strength": 0.05, "end_strength": 0.05},
                {"kind": "variation_noise", "variation_seed": 3, "variation_strength": 0.3},
                {"kind": "denoise_schedule", "target_denoise": 0.3},
                {"kind": "plugin", "name": "softening", "parameters": {"share": 0.1}},
                {"kind": "preview"},
            ],
        }
        steering = {"wildcard", "controlnets", "image_prompts", "conditionings", "hooks"}
        detailer = {"steps": 3, "cycle": 2, "cfg": 2, "crop_factor": 1.2, "guide_size": 64, "max_size": 64}
        plain = {
            "input": {"uri": clip, "frames": "2"},
            "model": "demo",
            "refiner": "demo",
            "detailer": detailer,
            "outputs": ["cnet"],
        }
        found = []
        for kept in (steering, *(steering - {one} for one in sorted(steering))):
            asked = {name: value for name, value in segment.items() if name in kept or name in ("name", "mask")}
            status = local.run(JobRequest.model_validate({**plain, "segments": [asked]}))
            assert status.state is JobState.COMPLETED, status.activity
            job = f"jobs/{status.facts.id}"
            found.append(decode(local.blobs.get(f"{job}/frames/0002.png")))
            pictures = [name.removeprefix(f"{job}/cnet/") for name in local.blobs.list(f"{job}/cnet/")]
            assert len(pictures) == (4 if "controlnets" in kept else 0)
            assert len(list(local.blobs.list(f"{job}/preview/"))) == (2 if "hooks" in kept else 0)
    finally:
        local.close()
    for number, frame in enumerate(found):
        assert all(not np.array_equal(frame, other) for other in found[number + 1 :])
