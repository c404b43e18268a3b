"""Jobs that find their segments themselves: from a clip and a detector to documents and frames."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from farm.adapters.packs import unpack
from farm.adapters.pictures import decode, encode_png
from farm.domain import keys
from farm.domain.job import JobRequest
from farm.domain.plan import Plan
from farm.domain.state import JobState
from farm.errors import Rejected
from farm.ports import TaskFilter
from farm.settings import Settings
from tests.onnx_files import CELL, SIDE, square_finder
from workers import context
from workers.local_render import LocalFarm

Ways = Sequence[Sequence[int | None]]
"""For each square the column of its cell by frame; None: out of sight."""
TWO: Ways = ((0, 1, 2, None, 4, 5), (6, 6, None, None, None, 6))
"""One goes to the right behind something, one stays and is hidden for a while. They never touch."""


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[LocalFarm]:
    found = _farm(tmp_path)
    found.add_model("squares", square_finder(tmp_path / "squares.onnx", {"names": "{0: 'square'}"}))
    found.add_model("shapes", square_finder(tmp_path / "shapes.onnx", {"names": "{0: 'square'}"}, masks=True))
    (tmp_path / "model" / "motion_adapter").mkdir(parents=True)
    for document in ("model_index.json", "motion_adapter/config.json"):
        (tmp_path / "model" / document).write_text("{}")
    found.add_model("demo", tmp_path / "model")
    yield found
    found.close()


def _farm(tmp_path: Path) -> LocalFarm:
    return LocalFarm(tmp_path / "store", Settings.read(engine="fake", device="cpu"))


def _clip(farm: LocalFarm, folder: Path, ways: Ways = TWO) -> str:
    """Red squares on their ways, each in a row of cells of its own, in frames numbered from 11."""
    folder.mkdir()
    for frame in range(len(ways[0])):
        rng = np.random.default_rng(frame)
        pixels = rng.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
        for row, way in enumerate(ways):
            x, y = way[frame], 1 + 3 * row
            if x is not None:
                pixels[y * CELL : (y + 1) * CELL, x * CELL : (x + 1) * CELL] = 250, 20, 20
        (folder / f"{frame + 11:03}.png").write_bytes(encode_png(pixels))
    return farm.admit(folder)


def _request(clip: str, job_type: str = "detect", **detect: object) -> dict[str, Any]:
    asked = {"detector": "squares", "threshold": 0.7, "dilation": 0, **detect}
    segment: dict[str, Any] = {"name": "face", "detect": asked, "crop_factor": 2.0, "drop_size": 4}
    detailer = {"steps": 2, "guide_size": 64, "max_size": 64, "context_length": 4, "context_overlap": 2, "feather": 0}
    outputs: list[str] = []
    return {"type": job_type, "input": {"uri": clip}, "segments": [segment], "detailer": detailer, "outputs": outputs}


def _run(farm: LocalFarm, request: dict[str, Any]) -> str:
    ended = farm.run(JobRequest.model_validate(request))
    errors = [task.error for task in farm.farm.tasks(ended.facts.id, TaskFilter()) if task.error]
    assert ended.state is JobState.COMPLETED, errors
    assert ended.frames_done == ended.facts.frames
    return ended.facts.id


def _found(farm: LocalFarm, job: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads(farm.blobs.get(keys.segs(job)))["frames"]
    return found


def _frames(farm: LocalFarm, job: str) -> list[np.ndarray]:
    return [decode(farm.blobs.get(name)) for name in farm.blobs.list(keys.job(job, "frames/"))]


def _plan(farm: LocalFarm, job: str) -> Plan:
    return Plan.model_validate_json(farm.blobs.get(keys.plan(job, 0)))


def test_a_detect_job_gives_a_document_by_frame_number_with_who_is_who(farm: LocalFarm, tmp_path: Path) -> None:
    found = _found(farm, _run(farm, _request(_clip(farm, tmp_path / "clip"))))
    assert list(found) == ["11", "12", "13", "14", "15", "16"]
    boxes = {number: {e["identity"]: (round(e["bbox"][0]), e["filled"]) for e in own} for number, own in found.items()}
    assert boxes == {
        "11": {1: (0, False), 2: (48, False)},
        "12": {1: (8, False), 2: (48, False)},
        "13": {1: (16, False), 2: (48, True)},
        "14": {1: (24, True), 2: (48, True)},
        "15": {1: (32, False), 2: (48, True)},
        "16": {1: (40, False), 2: (48, False)},
    }


def test_only_each_nth_frame_is_looked_at_and_the_rest_is_filled(farm: LocalFarm, tmp_path: Path) -> None:
    clip = _clip(farm, tmp_path / "clip", [(0, 7, 7, 7, 1, 7, 2)])
    found = _found(farm, _run(farm, _request(clip, every=4)))
    assert [own[0]["filled"] for own in found.values()] == [False, True, True, True, False, True, False]
    assert [round(own[0]["bbox"][0]) for own in found.values()] == [0, 2, 4, 6, 8, 12, 16]


def test_what_is_too_small_or_has_another_label_is_dropped(farm: LocalFarm, tmp_path: Path) -> None:
    clip = _clip(farm, tmp_path / "clip")
    assert _found(farm, _run(farm, _request(clip, labels=["circle"]))) == {}
    request = _request(clip)
    request["segments"][0]["drop_size"] = 8
    assert _found(farm, _run(farm, request)) == {}
    only = _found(farm, _run(farm, _request(clip, identities=[2], labels=["circle", "square"])))
    assert {entry["identity"] for own in only.values() for entry in own} == {2}


def test_frames_are_repainted_where_something_was_found_and_nowhere_else(farm: LocalFarm, tmp_path: Path) -> None:
    clip = _clip(farm, tmp_path / "clip")
    made = _frames(farm, _run(farm, _request(clip, "mask")))
    for number, path in enumerate(sorted((tmp_path / "clip").iterdir())):
        changed = (made[number] != decode(path.read_bytes())).any(axis=2)
        expected = np.zeros((SIDE, SIDE), dtype=bool)
        expected[8:16, 8 * number : 8 * number + 8] = True
        expected[32:40, 48:56] = True
        assert not (changed & ~expected).any()
        assert changed[8:16, 8 * number : 8 * number + 8].mean() > 0.9


def test_the_document_handed_in_again_makes_the_same_frames_and_edited_others(farm: LocalFarm, tmp_path: Path) -> None:
    clip = _clip(farm, tmp_path / "clip")
    first = _request(clip, "mask", dilation=4)
    detected = _run(farm, first)
    document = json.loads(farm.blobs.get(keys.detected(detected, "face")))
    (tmp_path / "segs.json").write_text(json.dumps(document))
    again = json.loads(json.dumps(first))
    del again["segments"][0]["detect"]
    again["segments"][0]["segs"] = farm.admit(tmp_path / "segs.json")
    before = [frame.tobytes() for frame in _frames(farm, detected)]
    assert [frame.tobytes() for frame in _frames(farm, _run(farm, again))] == before
    document["frames"]["13"] = []
    (tmp_path / "edited.json").write_text(json.dumps(document))
    again["segments"][0]["segs"] = farm.admit(tmp_path / "edited.json")
    after = [frame.tobytes() for frame in _frames(farm, _run(farm, again))]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, True, False, True, True, True]


def test_who_is_alone_in_a_frame_keeps_the_seed_and_the_batch_of_their_own(farm: LocalFarm, tmp_path: Path) -> None:
    clip = _clip(farm, tmp_path / "clip", [(0, 1, None, None, None), (6, 6, 6, 6, 6)])
    plan = _plan(farm, _run(farm, _request(clip, "mask", max_gap=0)))
    seeds = {(crop.frame, crop.segment): crop.seed for task in plan.tasks for crop in task.crops}
    assert seeds == {(0, 0): 0, (1, 0): 0, **{(frame, 1): 1 for frame in range(5)}}
    assert all(len({crop.segment for crop in task.crops}) == 1 for task in plan.tasks)


@pytest.mark.parametrize(
    ("mode", "pivot", "marked"),
    [
        ("pivot_segs", "combined_mask", [[0, 1, 2, 3]] * 4),
        ("dont_combine", "combined_mask", [[0], [1], [2], [3]]),
        ("combine_neighboring_frames", "combined_mask", [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3]]),
        ("pivot_segs", "first_frame_mask", [[0]] * 4),
        ("combine_neighboring_frames", "first_frame_mask", [[0], [0], [], []]),
    ],
)
def test_the_three_masking_modes_of_a_moving_segment(
    farm: LocalFarm, tmp_path: Path, mode: str, pivot: str, marked: list[list[int]]
) -> None:
    clip = _clip(farm, tmp_path / "clip", [(0, 1, 2, 3)])
    request = _request(clip, "animatediff", masking_mode=mode, segs_pivot=pivot)
    plan = _plan(farm, _run(farm, request))
    masks = [decode(data)[..., 0] for data in unpack(farm.blobs.get(plan.masks)).values()]
    (task,) = plan.tasks
    found = []
    for crop in task.crops:
        canvas = np.zeros((SIDE, SIDE), dtype=np.uint8)
        x1, y1, x2, y2 = crop.region
        canvas[y1:y2, x1:x2] = masks[crop.mask]
        assert not canvas[:8].any()
        assert not canvas[16:].any()
        found.append([cell for cell in range(8) if canvas[8:16, cell * 8 : cell * 8 + 8].all()])
    assert found == marked


@pytest.mark.parametrize(("track", "segments"), [(True, {0, 1}), (False, {0})])
def test_whose_masks_touch_are_two_segments_of_the_clip_where_they_are_tracked(
    farm: LocalFarm, tmp_path: Path, track: bool, segments: set[int]
) -> None:
    clip = _clip(farm, tmp_path / "clip", [(0, 1, 2, 3), (3, 2, 1, 0)])
    request = _request(clip, "animatediff", track=track, dilation=20)
    request["segments"][0]["crop_factor"] = 6
    plan = _plan(farm, _run(farm, request))
    assert {crop.segment for task in plan.tasks for crop in task.crops} == segments


def test_a_crop_follows_what_was_found_where_each_frame_has_its_own_mask(farm: LocalFarm, tmp_path: Path) -> None:
    clip = _clip(farm, tmp_path / "clip", [(0, 1, 2, 3, 4, 5)])
    request = _request(clip, "animatediff", masking_mode="dont_combine")
    request["segments"][0]["follow"] = True
    crops = [crop for task in _plan(farm, _run(farm, request)).tasks for crop in task.crops]
    assert {(crop.region[2] - crop.region[0], crop.region[3] - crop.region[1]) for crop in crops} == {(16, 16)}
    assert len({crop.region for crop in crops}) > 1


def test_a_segmenters_masks_are_grown_and_cut_to_the_crop(farm: LocalFarm, tmp_path: Path) -> None:
    clip = _clip(farm, tmp_path / "clip", [(2, 3)])
    found = _found(farm, _run(farm, _request(clip, detector="shapes", dilation=3)))
    entry = found["11"][0]
    assert entry["crop_region"] == [12, 4, 28, 20]
    assert "dilation" not in entry
    made = _frames(farm, _run(farm, _request(clip, "mask", detector="shapes", dilation=3)))
    changed = (made[0] != decode((tmp_path / "clip" / "011.png").read_bytes())).any(axis=2)
    assert changed[8:16, 16:24].mean() > 0.9
    assert not changed[:, :14].any()
    assert not changed[:, 26:].any()


def test_nothing_found_leaves_the_frames_as_they_are(farm: LocalFarm, tmp_path: Path) -> None:
    clip = _clip(farm, tmp_path / "clip")
    for job_type in ("mask", "animatediff"):
        made = _frames(farm, _run(farm, _request(clip, job_type, labels=["circle"])))
        for frame, path in zip(made, sorted((tmp_path / "clip").iterdir()), strict=True):
            np.testing.assert_array_equal(frame, decode(path.read_bytes()))


def test_the_same_frames_are_not_shown_to_the_same_detector_twice(
    farm: LocalFarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = _clip(farm, tmp_path / "clip")
    first = _found(farm, _run(farm, _request(clip)))
    again = _farm(tmp_path)

    def never(*_: object) -> None:
        raise AssertionError("it was looked at again")

    monkeypatch.setattr(context, "open_detector", never)
    try:
        job = _run(again, _request(clip, dilation=6, max_gap=0))
    finally:
        again.close()
    assert sum(map(len, _found(again, job).values())) < sum(map(len, first.values()))


def test_what_a_job_that_only_detects_cannot_have_is_refused(farm: LocalFarm, tmp_path: Path) -> None:
    clip = _clip(farm, tmp_path / "clip")
    two = _request(clip)
    two["segments"].append({**two["segments"][0], "name": "other"})
    with pytest.raises(Rejected, match="has one segment"):
        farm.run(JobRequest.model_validate(two))
    with pytest.raises(Rejected, match=r"no detector 'nobody'.*squares.*'face' comes with the farm"):
        farm.run(JobRequest.model_validate(_request(clip, detector="nobody")))
    with pytest.raises(Rejected, match="is a model, where a detector is needed"):
        farm.run(JobRequest.model_validate(_request(clip, detector="demo")))
