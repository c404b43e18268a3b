"""What a model does to a job that it is not fit for: the task says why, and the job's other chunks go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from farm.adapters.model_folder import blob_name, upload
from farm.adapters.pictures import decode, encode_png
from farm.domain.job import JobRequest
from farm.domain.state import JobState, TaskState
from farm.errors import Rejected
from farm.ports import TaskFilter
from farm.settings import Settings
from tests.e2e.reference import final_frames
from tests.e2e.shots import make_model
from tests.unit.gpu.node_at_work import MIDDLE, marked, picture, small_model
from workers.local_render import LocalFarm

FRAMES = 3
"""Each a chunk of its own."""
HOT = "a (sharp:1e30) fox"
"""A weight that no network of float32 survives."""


def _clip(farm: LocalFarm, folder: Path) -> dict[str, str]:
    """A clip, a mask for all frames, and one that marks something in the second frame only."""
    for name in ("clip", "all", "second"):
        (folder / name).mkdir()
    levels = (marked(MIDDLE) * 255).astype(np.uint8)
    for frame in range(FRAMES):
        name = f"{frame + 1:04d}.png"
        (folder / "clip" / name).write_bytes(encode_png(picture(frame)))
        (folder / "all" / name).write_bytes(encode_png(levels))
        (folder / "second" / name).write_bytes(encode_png(levels if frame == 1 else np.zeros_like(levels)))
    return {name: farm.admit(folder / name) for name in ("clip", "all", "second")}


def _request(handed: dict[str, str], **changes: object) -> JobRequest:
    values: dict[str, object] = {
        "input": {"uri": handed["clip"]},
        "segments": [{"name": "thing", "mask": handed["all"]}],
        "detailer": {"steps": 1, "cfg": 1, "guide_size": 64, "max_size": 64, "guide_size_for": False},
        "model": "small",
        "chunk": 1,
        "outputs": [],
        "max_attempts": 2,
    }
    return JobRequest.model_validate(values | changes)


def _errors(farm: LocalFarm, job: str) -> dict[str, str]:
    failed = farm.farm.tasks(job, TaskFilter(states=(TaskState.FAILED,)), limit=100)
    return {task.id: task.error for task in failed if task.kind == "detail"}


def test_values_that_are_not_numbers_fail_their_chunk_with_the_reason_and_the_others_are_done(tmp_path: Path) -> None:
    local = LocalFarm(tmp_path / "store", Settings.read(engine="diffusers", device="cpu", data_dir=tmp_path))
    try:
        local.add_model("small", small_model(tmp_path / "model"))
        handed = _clip(local, tmp_path)
        calm = {"name": "calm", "mask": handed["all"], "prompt": "a fox"}
        hot = {"name": "hot", "mask": handed["second"], "prompt": HOT}
        status = local.run(_request(handed, segments=[calm, hot]))
        errors = _errors(local, status.facts.id)
        frames = final_frames(local.blobs, status.facts.id)
    finally:
        local.close()
    assert status.state is JobState.FAILED
    assert (status.chunks_done, status.chunks_failed) == (2, 1)
    (error,) = errors.values()
    assert "not numbers (NaN or infinite) while sampling, computed in float32" in error
    assert "smaller weights in the prompt" in error
    assert sorted(frames) == ["0001.png", "0003.png"]
    assert not np.array_equal(decode(frames["0001.png"]), picture(0))


def test_a_model_whose_bytes_are_not_what_was_added_is_never_run(tmp_path: Path) -> None:
    local = LocalFarm(tmp_path / "store", Settings.read(engine="fake", device="cpu", data_dir=tmp_path, backoff_s=0.01))
    try:
        local.add_model("small", make_model(tmp_path / "model"))
        handed = _clip(local, tmp_path)
        manifest = upload(tmp_path / "model", local.blobs)
        local.blobs.put(blob_name(manifest.files[0].sha256), b"other bytes", "application/octet-stream")
        status = local.run(_request(handed))
        errors = _errors(local, status.facts.id)
    finally:
        local.close()
    assert status.state is JobState.FAILED
    assert errors
    for error in errors.values():
        assert f"The model's file {manifest.files[0].path!r} arrived damaged" in error
        assert "farm model verify" in error


@pytest.mark.parametrize(
    ("detailer", "says"),
    [
        ({"sampler_name": "uni_pc", "steps": 1}, "needs 2 steps or more"),
        ({"sampler_name": "dpmpp_2m", "scheduler": "simple", "steps": 20, "denoise": 0.01}, "cannot tell apart"),
        ({"steps": 10_000, "denoise": 0.0001}, "schedule of 100000000 steps"),
        ({"prompt": "(" * 9_000 + ")" * 9_000}, "more than 100 pairs of parentheses"),
        ({"wildcard": "{" * 9_000 + "}" * 9_000}, "9000 choices"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_can_be_known_at_submit_is_refused_there(detailer: dict[str, object], says: str, tmp_path: Path) -> None:
    local = LocalFarm(tmp_path / "store", Settings.read(engine="fake", device="cpu", data_dir=tmp_path))
    try:
        local.add_model("small", make_model(tmp_path / "model"))
        with pytest.raises(Rejected, match=says):
            local.farm.submit(_request(_clip(local, tmp_path), detailer=detailer))
    finally:
        local.close()
