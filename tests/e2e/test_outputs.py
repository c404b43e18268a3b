"""What a job leaves behind: names and numbers as they came in, variations, extra pictures, a manifest that is true."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from farm.adapters.pictures import decode
from farm.domain import keys
from farm.domain.detailer import REPAINTING, JobType
from farm.ports import Blobs
from tests.e2e import shots
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.conftest import Expected
from tests.e2e.paste_masks import paste_masks
from tests.e2e.reference import differing, final_frames
from tests.e2e.shots import Handed, Shot, hand_in, request

EXTRAS = ("cropped", "cropped_refined", "cropped_enhanced_alpha")


def manifest(blobs: Blobs, job: str) -> dict[str, Any]:
    """A job's manifest."""
    found: dict[str, Any] = json.loads(blobs.get(keys.manifest(job)))
    return found


def test_pictures_keep_their_names_and_numbers(tmp_path: Path) -> None:
    shot = shots.make_shot(tmp_path / "shot", frames=12, first=101, names="shot_v2.{:04d}.png")
    with AnyOrderFarm(tmp_path / "run") as farm:
        handed = hand_in(shot, farm)
        job = farm.run(request(handed, JobType.MASK, input={"uri": handed.clip, "frames": "103-110"})).facts.id
        whole = farm.run(request(handed, JobType.MASK)).facts.id
    frames, all_frames = final_frames(farm.blobs, job), final_frames(farm.blobs, whole)
    assert list(frames) == [f"shot_v2.{number:04d}.png" for number in range(103, 111)]
    assert list(all_frames) == [f"shot_v2.{number:04d}.png" for number in range(101, 113)]
    assert differing(frames, {name: all_frames[name] for name in frames}) == []
    numbers = [(frame["number"], frame["position"]) for frame in manifest(farm.blobs, job)["frames"]]
    assert numbers == [(number, number - 101) for number in range(103, 111)]


@pytest.mark.parametrize("job_type", REPAINTING)
def test_a_variation_is_the_job_with_the_next_seed(
    job_type: JobType, shot: Shot, handed: Handed, expected: Expected, tmp_path: Path
) -> None:
    with AnyOrderFarm(tmp_path) as farm:
        hand_in(shot, farm)
        both = farm.run(request(handed, job_type, batch_size=2)).facts.id
        other = farm.run(request(handed, job_type, detailer={"seed": 1})).facts.id
    assert differing(expected(job_type), final_frames(farm.blobs, both)) == []
    second = final_frames(farm.blobs, both, "frames-b1")
    assert differing(final_frames(farm.blobs, other), second) == []
    assert len(differing(expected(job_type), second)) == shot.frames


@pytest.fixture(scope="module", params=REPAINTING)
def with_extras(
    request: pytest.FixtureRequest, shot: Shot, handed: Handed, tmp_path_factory: pytest.TempPathFactory
) -> tuple[AnyOrderFarm, str]:
    """A job with all that can be kept, and its farm."""
    with AnyOrderFarm(tmp_path_factory.mktemp("extras")) as farm:
        hand_in(shot, farm)
        return farm, farm.run(shots.request(handed, request.param, outputs=("video", *EXTRAS))).facts.id


def test_the_manifest_names_the_bytes_that_are_stored_and_what_made_them(
    with_extras: tuple[AnyOrderFarm, str], shot: Shot
) -> None:
    farm, job = with_extras
    found = manifest(farm.blobs, job)
    frames = final_frames(farm.blobs, job)
    assert [frame["name"] for frame in found["frames"]] == sorted(frames)
    for frame in found["frames"]:
        data = frames[frame["name"]]
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (frame["sha256"], frame["size"])
        assert farm.blobs.exists(keys.frame(frame["input"]))
        for patch in frame["patches"]:
            assert any(farm.blobs.list(keys.done_prefix(patch["key"])))
    assert found["model"]["hash"] == farm.farm.document(job).model.hash
    assert found["seeds"] == dict.fromkeys(shot.masks, 0)
    assert found["missing_chunks"] == []


def test_the_extra_pictures_are_the_crop_before_the_patch_after_and_the_patch_with_its_mask(
    with_extras: tuple[AnyOrderFarm, str], shot: Shot, tmp_path: Path
) -> None:
    farm, job = with_extras
    before, after, alpha = (final_frames(farm.blobs, job, folder) for folder in EXTRAS)
    assert len(before) == shot.frames * len(shot.masks)
    assert before.keys() == after.keys() == alpha.keys()
    masks = paste_masks(farm.blobs, farm.farm.document(job), tmp_path)
    for frame in manifest(farm.blobs, job)["frames"][::9]:
        stem = frame["name"].removesuffix(".png")
        for order, patch in enumerate(frame["patches"]):
            name = f"{stem}_{order:02d}_{patch['source']}_{patch['segment']}.png"
            x1, y1, x2, y2 = patch["region"]
            crop, made = decode(before[name]), decode(after[name])
            assert crop.shape == made.shape == (y2 - y1, x2 - x1, 3)
            if order == 0:
                assert np.array_equal(crop, shots.picture(frame["position"])[y1:y2, x1:x2])
            with_mask = decode(alpha[name])
            assert np.array_equal(with_mask[..., :3], made)
            assert (with_mask[..., 3] <= masks[frame["name"]][y1:y2, x1:x2] * 255).all()
            assert with_mask[..., 3].max() > 200


@pytest.mark.parametrize("job_type", REPAINTING)
def test_the_segments_that_a_job_found_can_be_given_back_and_give_the_same_frames(
    job_type: JobType, shot: Shot, handed: Handed, tmp_path: Path
) -> None:
    one = [{"name": "left", "mask": handed.masks["left"], "prompt": "a disk"}]
    with AnyOrderFarm(tmp_path) as farm:
        hand_in(shot, farm)
        first = farm.run(request(handed, job_type, segments=one)).facts.id
        document = tmp_path / "segs.json"
        document.write_bytes(farm.blobs.get(keys.segs(first)))
        back = [{"name": "back", "segs": farm.admit(document), "prompt": "a disk"}]
        again = farm.run(request(handed, job_type, segments=back)).facts.id
    assert differing(final_frames(farm.blobs, first), final_frames(farm.blobs, again)) == []
