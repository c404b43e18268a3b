"""Crops that follow their masks, through a whole farm in one process."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from farm.adapters.pictures import decode, encode_png
from farm.domain import keys
from farm.domain.detailer import JobType
from farm.domain.job import JobRequest
from farm.domain.plan import Crop
from farm.domain.state import JobState
from farm.ports import JobStatus
from tests.e2e import reference
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.reference import differing, final_frames
from tests.e2e.shots import DETAILER, HEIGHT, MODEL, MOVING, WIDTH, Handed, Shot, hand_in, make_model, picture

FRAMES = 28
RADIUS = 7
"""Of the disks, pixels."""


def _disk(x: float, y: float) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    levels: NDArray[np.uint8] = ((np.hypot(columns - x, rows - y) <= RADIUS) * 255).astype(np.uint8)
    return levels


def _crossing(frame: int) -> NDArray[np.uint8]:
    """It crosses the picture; in frames 12 and 13 it is hidden."""
    return _disk(14 + 100 * frame / (FRAMES - 1), 30) * (frame not in (12, 13))


def _falling(frame: int) -> NDArray[np.uint8]:
    """It falls over the other's way."""
    return _disk(64 + 4 * np.sin(frame / 4), 12 + 70 * frame / (FRAMES - 1))


def _standing(frame: int) -> NDArray[np.uint8]:
    """It stays where it is."""
    return _disk(20, 80)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    """A clip with three disks of which two move."""
    folder = tmp_path_factory.mktemp("scene")
    drawn: dict[str, Callable[[int], NDArray[np.uint8]]] = {
        "clip": picture,
        "crossing": _crossing,
        "falling": _falling,
        "standing": _standing,
    }
    for name, draw in drawn.items():
        (folder / name).mkdir()
        for frame in range(FRAMES):
            (folder / name / f"{frame + 1:04d}.png").write_bytes(encode_png(draw(frame)))
    masks = {name: folder / name for name in drawn if name != "clip"}
    return Shot(folder / "clip", masks, make_model(folder / "model"), FRAMES)


@dataclass(frozen=True)
class Played:
    """A farm that has run the scene's job, first with crops that stay, then with crops that follow."""

    farm: AnyOrderFarm
    handed: Handed
    still: JobStatus
    moved: JobStatus


@pytest.fixture(scope="module")
def played(scene: Shot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """It ran the tasks in an order drawn by lot."""
    with AnyOrderFarm(tmp_path_factory.mktemp("farm"), seed=1) as farm:
        handed = hand_in(scene, farm)
        still = _completed(farm, _asked(handed, follow=False))
        yield Played(farm, handed, still, _completed(farm, _asked(handed)))


def _asked(handed: Handed, follow: bool = True, **changes: Any) -> JobRequest:  # noqa: ANN401 - fields of the request
    segments = [{"name": name, "mask": uri, "prompt": f"a {name} disk"} for name, uri in handed.masks.items()]
    values = {
        "type": JobType.ANIMATEDIFF,
        "input": {"uri": handed.clip},
        "segments": segments,
        "detailer": {**DETAILER, **MOVING, "crop_factor": 2.0, "follow": follow, **changes.pop("detailer", {})},
        "model": MODEL,
        "chunk": 6,
        "outputs": (),
    }
    return JobRequest.model_validate(values | changes)


def _completed(farm: AnyOrderFarm, asked: JobRequest) -> JobStatus:
    status = farm.run(asked)
    assert status.state is JobState.COMPLETED
    return status


def _crops(farm: AnyOrderFarm, job: str) -> dict[tuple[str, int], Crop]:
    """(source, frame) -> its crop, of the chunk that delivers the frame."""
    plans = [farm.tools.plan(job, n) for n in range(len(list(farm.blobs.list(keys.job(job, "plans/")))))]
    return {
        (task.source, crop.frame): crop
        for plan in plans
        for task in plan.tasks
        for crop in task.crops
        if plan.core[0] <= crop.frame < plan.core[1]
    }


def test_in_any_order_the_frames_are_those_of_the_reference(scene: Shot, played: Played, tmp_path: Path) -> None:
    expected = reference.render(tmp_path / "reference", scene, _asked(played.handed))[0]
    frames = final_frames(played.farm.blobs, played.moved.facts.id)
    assert differing(expected, frames) == []
    _only_what_is_marked_has_changed(frames)
    _waits_where_ways_cross(played.farm, played.moved.facts.id)


def _only_what_is_marked_has_changed(frames: dict[str, bytes]) -> None:
    for frame, data in enumerate(frames.values()):
        changed = np.any(decode(data) != picture(frame), axis=2)
        disks = (_crossing(frame), _falling(frame), _standing(frame))
        near = np.any([np.pad(disk, 5).astype(bool) for disk in disks], axis=0)
        grown = np.any([np.roll(near, (dy, dx), (0, 1)) for dy in range(-5, 6) for dx in range(-5, 6)], axis=0)
        assert not np.any(changed & ~grown[5:-5, 5:-5])
        assert all(np.mean(changed[disk > 0]) > 0.7 for disk in disks if disk.any())


def _waits_where_ways_cross(farm: AnyOrderFarm, job: str) -> None:
    """`falling` reads what `crossing` has painted only in frames where its crop is there."""
    crops = _crops(farm, job)
    under = [frame for frame in range(FRAMES) if crops["falling", frame].under]
    assert under
    for frame in under:
        one, other = crops["crossing", frame].region, crops["falling", frame].region
        assert one[0] < other[2]
        assert other[0] < one[2]
        assert one[1] < other[3]
        assert other[1] < one[3]
    assert len(under) < FRAMES


def test_crops_keep_their_size_hold_their_targets_and_move_calmly(played: Played) -> None:
    crops = _crops(played.farm, played.moved.facts.id)
    still = _crops(played.farm, played.still.facts.id)
    side = 2 * (2 * RADIUS + 1)
    for name, draw in (("crossing", _crossing), ("falling", _falling)):
        own = [crops[name, frame] for frame in range(FRAMES)]
        assert {(c.region[2] - c.region[0], c.region[3] - c.region[1]) for c in own} == {(side, side)}
        assert {c.size for c in own} == {(128, 128)}
        for frame, crop in enumerate(own):
            x1, y1, x2, y2 = crop.region
            assert np.count_nonzero(draw(frame)[y1:y2, x1:x2]) == np.count_nonzero(draw(frame))
        assert np.abs(np.diff([c.region for c in own], n=2, axis=0)).max() <= 2
        assert len({still[name, frame].region for frame in range(FRAMES)}) == 1
        x1, y1, x2, y2 = still[name, 0].region
        assert max(x2 - x1, y2 - y1) > 2 * side
    assert all(crops["standing", frame] == still["standing", frame] for frame in range(FRAMES))


def test_what_does_not_move_is_not_rendered_again(played: Played) -> None:
    chunks = played.moved.facts.chunks
    assert played.still.cache_hits == 0
    assert (played.moved.cache_hits, played.moved.cache_misses) == (chunks, 2 * chunks)


def test_the_way_does_not_depend_on_chunks_or_on_parts_of_the_scan(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("workers.steps.scan", "farm.service.skeleton"):
        monkeypatch.setattr(f"{module}.SCAN_FRAMES", 5)
    parts = _crops(played.farm, _completed(played.farm, _asked(played.handed, chunk=12)).facts.id)
    whole = _crops(played.farm, played.moved.facts.id)
    assert {at: crop.region for at, crop in parts.items()} == {at: crop.region for at, crop in whole.items()}


@pytest.mark.parametrize("form", ["whole clip", "by frame"])
def test_masks_per_frame_of_a_segs_document_are_followed_as_well(form: str, played: Played, tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_text(_whole_clip() if form == "whole clip" else _by_frame())
    given = [{"name": "crossing", "segs": played.farm.admit(path), "prompt": "a crossing disk"}]
    status = _completed(played.farm, _asked(played.handed, segments=given))
    assert (status.cache_hits, status.cache_misses) == (status.facts.chunks, 0), "the same crops as of drawn masks"


def test_what_a_job_says_of_its_segments_can_be_given_back(played: Played, tmp_path: Path) -> None:
    path = tmp_path / "segs.json"
    own = [{"name": "crossing", "mask": played.handed.masks["crossing"], "prompt": "a crossing disk"}]
    first = _completed(played.farm, _asked(played.handed, segments=own))
    path.write_bytes(played.farm.blobs.get(keys.segs(first.facts.id)))
    given = [{"name": "crossing", "segs": played.farm.admit(path), "prompt": "a crossing disk"}]
    assert _completed(played.farm, _asked(played.handed, segments=given)).cache_misses == 0


def _whole_clip() -> str:
    x1, y1, x2, y2 = region = (2, 18, 126, 42)
    planes = [base64.b64encode(encode_png(_crossing(f)[y1:y2, x1:x2])).decode() for f in range(FRAMES)]
    entry = {"bbox": region, "crop_region": region, "mask": planes}
    return json.dumps({"header": [HEIGHT, WIDTH], "segs": [entry]})


def _by_frame() -> str:
    frames = {}
    for frame in range(FRAMES):
        mask = _crossing(frame)
        if mask.any():
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            x1, y1, x2, y2 = box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
            plane = base64.b64encode(encode_png(mask[y1:y2, x1:x2])).decode()
            frames[frame + 1] = [{"bbox": box, "crop_region": box, "mask": plane}]
    return json.dumps({"header": [HEIGHT, WIDTH], "frames": frames})


def test_filters_and_texts_go_by_the_segments_and_not_by_where_they_are_now(played: Played, tmp_path: Path) -> None:
    """Two targets of one mask that pass each other keep their order, so each batch is one target's."""
    for frame in range(FRAMES):
        shift = 80 * frame / (FRAMES - 1)
        there, back = _disk(20 + shift, 20), _disk(108 - shift, 70)
        (tmp_path / f"{frame + 1:04d}.png").write_bytes(encode_png(np.maximum(there, back)))
    segments = [{"name": "both", "mask": played.farm.admit(tmp_path)}]
    ordered = {"kind": "ordered_filter", "target": "x1", "order": "ascending", "take_count": 9}
    detailer = {"wildcard": "[ASC] one [SEP] two", "hooks": [ordered]}
    job = _completed(played.farm, _asked(played.handed, segments=segments, detailer=detailer)).facts.id
    tasks = [task for n in range(2) for task in played.farm.tools.plan(job, n).tasks]
    assert {crop.prompt for task in tasks for crop in task.crops} == {("one",), ("two",)}
    for task in tasks:
        assert len({(crop.segment, crop.prompt, crop.region[1]) for crop in task.crops}) == 1
