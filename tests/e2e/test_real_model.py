"""The real model on a farm: the same bits in every process, and on a machine that never saw the model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from uuid import uuid4

import pytest

from farm.adapters.model_folder import ModelManifest, manifest_name
from farm.adapters.servers import EmbeddedS3
from farm.domain.detailer import REPAINTING
from tests.e2e import reference, shots
from tests.e2e.farm_under_test import FarmUnderTest
from tests.e2e.reference import differing
from tests.e2e.shots import hand_in, request

MODEL = Path(__file__).resolve().parents[2] / "assets" / "demo" / "model"
REAL: dict[str, object] = {"engine": "diffusers", "device": "cpu", "torch_threads": 1}
DETAILER = {"cfg": 1.0, "denoise": 0.35, "noise": "shared", "max_size": 64, "size_multiple": 64}


@pytest.mark.slow
def test_the_real_model_gives_the_same_bits_on_two_machines_as_in_one_process(
    s3_keys: EmbeddedS3, tmp_path: Path
) -> None:
    with FarmUnderTest(tmp_path / f"farm-{uuid4().hex[:12]}", s3_keys, **REAL) as farm:
        check_bits(farm, tmp_path)


def check_bits(farm: FarmUnderTest, tmp_path: Path) -> None:
    """Both kinds of job, on two workers with caches of their own."""
    shot = shots.make_shot(tmp_path / "shot", frames=9, model=MODEL)
    handed = hand_in(shot, farm)
    requests = [request(handed, job_type, detailer=DETAILER) for job_type in REPAINTING]
    jobs = [farm.submit(each) for each in requests]
    elsewhere = tmp_path / "elsewhere"
    farm.worker("here", "cpu,gpu")
    farm.worker("there", "gpu", data_dir=elsewhere)
    expected = reference.render(tmp_path / "reference", shot, *requests, **REAL)
    for job, frames in zip(jobs, expected, strict=True):
        farm.wait(job)
        assert len(frames) == shot.frames
        assert differing(frames, farm.frames(job)) == []
    for name in ("here", "there"):
        assert any(task.startswith("detail.") for task in farm.finished(name)), name
    model = farm.farm.document(jobs[0]).model.hash
    manifest = ModelManifest.model_validate_json(farm.blobs.get(manifest_name(model)))
    folder = elsewhere / "cache" / "models" / model
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items()} == {
        file.path: file.sha256 for file in manifest.files
    }
