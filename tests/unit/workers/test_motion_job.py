"""An `animatediff` job with a motion module and a LoRA of its own, from files in the store to frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from farm.adapters.pictures import encode_png
from farm.domain import keys
from farm.domain.job import JobRequest
from farm.domain.state import JobState
from farm.ports import TaskFilter
from farm.settings import Settings
from tests.unit.gpu.tiny_motion import lora_tensors, motion_file, saved, tiny_adapter, tiny_folder, tiny_unet
from workers.local_render import LocalFarm

FRAMES = 6


@pytest.fixture
def farm(tmp_path: Path) -> LocalFarm:
    settings = Settings.read(engine="diffusers", device="cpu", whole_clip_frames=16)
    farm = LocalFarm(tmp_path / "store", settings)
    farm.add_model("still", tiny_folder(tmp_path / "still", tiny_unet()))
    farm.add_model("v1", motion_file(tmp_path / "mm_sd_v15.safetensors", tiny_adapter(length=24)))
    farm.add_model("v3", motion_file(tmp_path / "v3_sd15_mm.safetensors", tiny_adapter()))
    farm.add_model("pan", saved(tmp_path / "pan.safetensors", lora_tensors(tiny_adapter())))
    (tmp_path / "clip").mkdir()
    for frame in range(FRAMES):
        pixels = np.random.default_rng(frame).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        (tmp_path / "clip" / f"{frame:03d}.png").write_bytes(encode_png(pixels))
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[8:40, 16:48] = 255
    (tmp_path / "mask.png").write_bytes(encode_png(mask))
    return farm


def _frames(farm: LocalFarm, tmp_path: Path, **asked: object) -> list[bytes]:
    detailer = {"steps": 2, "cfg": 2, "guide_size": 64, "max_size": 64, "crop_factor": 1, "denoise": 0.6}
    windows = {"context_length": 4, "context_overlap": 2}
    request = {
        "type": "animatediff",
        "input": {"uri": farm.admit(tmp_path / "clip")},
        "segments": [{"name": "face", "mask": farm.admit(tmp_path / "mask.png")}],
        "model": "still",
        "outputs": [],
        "detailer": detailer | windows | dict(asked.pop("detailer", {})),  # type: ignore[call-overload]  # a dict
    }
    ended = farm.run(JobRequest.model_validate(request | asked))
    job = ended.facts.id
    errors = [task.error for task in farm.farm.tasks(job, TaskFilter()) if task.error]
    assert ended.state is JobState.COMPLETED, errors
    return [farm.blobs.get(name) for name in farm.blobs.list(keys.job(job, "frames/"))]


def test_motion_modules_loras_and_windows_make_their_frames(farm: LocalFarm, tmp_path: Path) -> None:
    try:
        found = [
            _frames(farm, tmp_path, motion="v3"),
            _frames(farm, tmp_path, motion="v1"),
            _frames(farm, tmp_path, motion="v3", motion_loras=[{"model": "pan", "strength": 2}]),
            _frames(farm, tmp_path, motion="v3", detailer={"context_schedule": "looped_uniform", "closed_loop": True}),
        ]
        again = _frames(farm, tmp_path, motion="v3")
    finally:
        farm.close()
    assert all(len(frames) == FRAMES for frames in found)
    assert len({tuple(frames) for frames in found}) == len(found)
    assert again == found[0]
