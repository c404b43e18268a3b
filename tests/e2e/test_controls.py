"""ControlNets through the whole farm, as far as it goes without a model: what they are shown, and what is stored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from farm.adapters.pictures import decode, encode_png, lanczos, to_8bit
from farm.detail.preprocess import canny
from farm.domain.detailer import REPAINTING, JobType
from farm.domain.job import JobRequest
from farm.domain.state import JobState
from farm.errors import NotFound
from tests.e2e import reference
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.conftest import Expected
from tests.e2e.reference import differing, final_frames
from tests.e2e.shots import HEIGHT, WIDTH, Handed, Shot, hand_in, make_net, request
from tests.packages import install

RANGE = "5-12"
EXTRAS = ("cropped", "cnet")
INVERTING = """
def inverting(parameters):
    return lambda crop, mask: 1 - crop * float(parameters.get("by", 1))


inverting.version = "1"
"""


def _control(frame: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Half the clip's size: it is scaled up."""
    return np.full((HEIGHT // 2, WIDTH // 2, 3), 8 * frame, dtype=np.uint8)


def _hand_in(farm: Any, shot: Shot, folder: Path) -> str:  # noqa: ANN401 - any farm that admits
    hand_in(shot, farm)
    farm.add_model("net", make_net(folder / "net"))
    pictures = folder / "control"
    pictures.mkdir(exist_ok=True)
    for frame in range(5, 13):
        (pictures / f"{frame:04d}.png").write_bytes(encode_png(_control(frame)))
    uri: str = farm.admit(pictures)
    return uri


def _request(handed: Handed, job_type: JobType, uri: str, **changes: Any) -> JobRequest:  # noqa: ANN401 - fields
    asked = request(handed, job_type, input={"uri": handed.clip, "frames": RANGE}, **changes)
    document = json.loads(asked.model_dump_json(exclude_unset=True))
    document["segments"][2]["controlnets"] = [
        {"model": "net", "image": uri, "strength": 0.5},
        {"model": "net", "preprocessor": "canny"},
    ]
    return JobRequest.model_validate(document)


@pytest.mark.parametrize("job_type", REPAINTING)
def test_control_pictures_are_cut_at_the_crop_made_of_it_kept_and_change_only_their_segment(
    job_type: JobType, shot: Shot, handed: Handed, expected: Expected, tmp_path: Path
) -> None:
    with AnyOrderFarm(tmp_path / "run") as farm:
        uri = _hand_in(farm, shot, tmp_path)
        status = farm.run(_request(handed, job_type, uri, outputs=EXTRAS))
    job = status.facts.id
    assert status.state is JobState.COMPLETED
    shown, crops = (final_frames(farm.blobs, job, folder) for folder in ("cnet", "cropped"))
    names = [name for name in crops if "_right_" in name]
    assert sorted(shown) == sorted(f"{name[:-4]}_{number}.png" for name in names for number in range(2))
    sizes = {
        (crop.frame, task.source): crop.size for n in range(4) for task in _plan(farm, job, n) for crop in task.crops
    }
    for name in names:
        frame, crop = int(name[:4]), decode(crops[name])
        given, edges = (decode(shown[f"{name[:-4]}_{number}.png"]) for number in range(2))
        assert given.shape == crop.shape
        assert np.unique(given).tolist() == [8 * frame]
        pixels = crop.astype(np.float32) / np.float32(255)
        if job_type is JobType.MASK:
            pixels = lanczos(pixels, *sizes[frame - 1, "right"])
        assert np.array_equal(edges, to_8bit(canny(0.4, 0.8)(pixels, None)))
    plain = {name: data for name, data in expected(job_type).items() if name in final_frames(farm.blobs, job)}
    assert len(differing(plain, final_frames(farm.blobs, job))) == (8 if job_type is JobType.MASK else len(plain))


def _plan(farm: AnyOrderFarm, job: str, chunk: int) -> Any:  # noqa: ANN401 - tasks of a plan, or none
    try:
        return farm.tools.plan(job, chunk).tasks
    except NotFound:
        return ()


def test_another_control_picture_renders_only_its_frames_batches_anew(
    shot: Shot, handed: Handed, tmp_path: Path
) -> None:
    with AnyOrderFarm(tmp_path / "run") as farm:
        uri = _hand_in(farm, shot, tmp_path)
        first = farm.run(_request(handed, JobType.MASK, uri, chunk=2))
        (tmp_path / "control" / "0006.png").write_bytes(encode_png(_control(30)))
        other = farm.admit(tmp_path / "control")
        second = farm.run(_request(handed, JobType.MASK, other, chunk=2))
    assert uri != other
    assert second.cache_misses == 1
    assert second.cache_hits == first.cache_misses - 1


def test_further_prompts_go_through_the_farm_and_touch_only_the_batches_that_they_are_for(
    shot: Shot, handed: Handed, tmp_path: Path
) -> None:
    plain = request(handed, JobType.MASK, input={"uri": handed.clip, "frames": "1-4"})
    document = json.loads(plain.model_dump_json(exclude_unset=True))
    document["segments"][2]["conditionings"] = [{"prompt": "a star", "mask": handed.masks["right"], "strength": 4}]
    asked = JobRequest.model_validate(document)
    expected = reference.render(tmp_path / "reference", shot, asked)[0]
    with AnyOrderFarm(tmp_path / "run") as farm:
        hand_in(shot, farm)
        before = farm.run(plain)
        after = farm.run(asked)
    assert differing(expected, final_frames(farm.blobs, after.facts.id)) == []
    assert len(differing(expected, final_frames(farm.blobs, before.facts.id))) == 4
    anew = sum(task.source == "right" for task in _plan(farm, after.facts.id, 0))
    assert (after.cache_misses, after.cache_hits) == (anew, before.cache_misses - anew)


def test_the_farm_equals_its_reference_with_a_packages_preprocessor(
    shot: Shot, handed: Handed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "p", monkeypatch, INVERTING, "farm.preprocessors", {"inverting": "inverting"}, "farm_test_pre")
    shot = replace(shot, others={"net": make_net(tmp_path / "net")})
    nets = [{"model": "net", "preprocessor": "inverting", "end_percent": 0.5}]
    plain = request(handed, JobType.MASK, input={"uri": handed.clip, "frames": "1-3"}).model_dump(exclude_unset=True)
    asked = JobRequest.model_validate({**plain, "segments": [{**plain["segments"][0], "controlnets": nets}]})
    expected = reference.render(tmp_path / "reference", shot, asked)[0]
    with AnyOrderFarm(tmp_path / "run") as farm:
        hand_in(shot, farm)
        job = farm.run(asked).facts.id
        without = JobRequest.model_validate({**plain, "segments": [plain["segments"][0]]})
        other = farm.run(without).facts.id
    assert differing(expected, final_frames(farm.blobs, job)) == []
    assert len(differing(expected, final_frames(farm.blobs, other))) == 3
