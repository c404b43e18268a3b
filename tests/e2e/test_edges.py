"""Clips and masks as they come: gaps in numbers, masks of a range, frames without a segment, alpha, a single frame."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from farm.adapters.pictures import decode, encode_png
from farm.domain import keys
from farm.domain.detailer import REPAINTING, JobType
from farm.domain.state import JobState
from tests.e2e import shots
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.conftest import Expected
from tests.e2e.reference import differing, final_frames
from tests.e2e.shots import Handed, Shot, hand_in, make_shot, picture, request


@pytest.fixture
def farm(shot: Shot, tmp_path: Path) -> Iterator[AnyOrderFarm]:
    """A farm that has the shot."""
    with AnyOrderFarm(tmp_path / "farm") as started:
        hand_in(shot, started)
        yield started


def completed(
    farm: AnyOrderFarm,
    handed: Handed,
    job_type: JobType,
    **changes: Any,  # noqa: ANN401 - fields of the request
) -> dict[str, bytes]:
    """The frames of a job that must come to a good end."""
    status = farm.run(request(handed, job_type, **changes))
    assert status.state is JobState.COMPLETED
    return final_frames(farm.blobs, status.facts.id)


@pytest.mark.parametrize("job_type", REPAINTING)
def test_numbers_with_gaps_are_kept_and_found_again(job_type: JobType, tmp_path: Path) -> None:
    gapped = make_shot(tmp_path / "gapped", frames=16, first=101)
    (gapped.clip / "0108.png").rename(gapped.clip / "0090.png")
    for folder in gapped.masks.values():
        (folder / "0108.png").unlink()
        shutil.copy(folder / "0101.png", folder / "0090.png")
    with AnyOrderFarm(tmp_path / "farm") as farm:
        handed = hand_in(gapped, farm)
        one = [{"name": "left", "mask": handed.masks["left"]}]
        status = farm.run(request(handed, job_type, segments=one, input={"uri": handed.clip, "frames": "90-112"}))
        job = status.facts.id
        numbers = [90, *range(101, 108), *range(109, 113)]
        frames = final_frames(farm.blobs, job)
        assert list(frames) == [f"{number:04d}.png" for number in numbers]
        document = tmp_path / "segs.json"
        document.write_bytes(farm.blobs.get(keys.segs(job)))
        back = [{"name": "left", "segs": farm.admit(document)}]
        again = completed(farm, handed, job_type, segments=back, input={"uri": handed.clip, "frames": "90-112"})
    assert differing(frames, again) == []


@pytest.mark.parametrize("job_type", REPAINTING)
def test_masks_may_be_one_per_frame_of_the_range(
    job_type: JobType, farm: AnyOrderFarm, shot: Shot, handed: Handed, tmp_path: Path
) -> None:
    ranged = {"uri": handed.clip, "frames": "9-20"}
    masks = {}
    for name, folder in shot.masks.items():
        part = tmp_path / name
        part.mkdir()
        for count, number in enumerate(range(9, 21), 1):
            shutil.copy(folder / f"{number:04d}.png", part / f"{count:04d}.png")
        masks[name] = farm.admit(part)
    whole = completed(farm, handed, job_type, input=ranged)
    farm.ran.clear()
    part_frames = completed(farm, Handed(handed.clip, masks), job_type, input=ranged)
    assert list(whole) == [f"{number:04d}.png" for number in range(9, 21)]
    assert differing(whole, part_frames) == []
    assert not any(task.startswith("detail.") for task in farm.ran), "the same masks make the same keys"


@pytest.mark.parametrize("job_type", REPAINTING)
def test_frames_in_which_nothing_is_marked_come_out_as_they_were(
    job_type: JobType, farm: AnyOrderFarm, shot: Shot, handed: Handed, expected: Expected, tmp_path: Path
) -> None:
    dark = encode_png(np.zeros((shots.HEIGHT, shots.WIDTH), np.uint8))
    masks = {}
    for name, folder in shot.masks.items():
        part = Path(shutil.copytree(folder, tmp_path / name))
        for number in range(1, 17):
            (part / f"{number:04d}.png").write_bytes(dark)
        masks[name] = farm.admit(part)
    frames = completed(farm, Handed(handed.clip, masks), job_type)
    for number in range(1, 17):
        assert np.array_equal(decode(frames[f"{number:04d}.png"]), picture(number - 1))
    later = {f"{number:04d}.png" for number in range(17, 29)}
    assert all(not np.array_equal(decode(frames[name]), picture(int(name[:4]) - 1)) for name in later)
    if job_type is JobType.MASK:
        assert differing({n: expected(job_type)[n] for n in later}, {n: frames[n] for n in later}) == []


@pytest.mark.parametrize("job_type", REPAINTING)
def test_alpha_of_the_input_is_kept(
    job_type: JobType, farm: AnyOrderFarm, handed: Handed, expected: Expected, shot: Shot, tmp_path: Path
) -> None:
    clip = tmp_path / "clear"
    clip.mkdir()
    alpha = np.tile(np.arange(shots.WIDTH, dtype=np.uint8) * 2, (shots.HEIGHT, 1))
    for frame in range(shot.frames):
        pixels = np.dstack([picture(frame), alpha])
        (clip / f"{frame + 1:04d}.png").write_bytes(encode_png(pixels))
    frames = completed(farm, Handed(farm.admit(clip), handed.masks), job_type, outputs=("video",))
    for name, data in frames.items():
        pixels = decode(data)
        assert np.array_equal(pixels[..., 3], alpha)
        assert np.array_equal(pixels[..., :3], decode(expected(job_type)[name]))


@pytest.mark.parametrize("job_type", REPAINTING)
def test_a_clip_of_one_frame_is_a_clip(job_type: JobType, tmp_path: Path) -> None:
    single = make_shot(tmp_path / "single", frames=1)
    with AnyOrderFarm(tmp_path / "farm") as farm:
        frames = completed(farm, hand_in(single, farm), job_type, outputs=("video",))
    (data,) = frames.values()
    assert not np.array_equal(decode(data), picture(0))
