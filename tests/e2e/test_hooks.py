"""Hooks through the whole farm: pure ones in any order, others in sequence, with what they keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from farm.adapters.packs import unpack
from farm.adapters.pictures import decode
from farm.domain import keys
from farm.domain.detailer import REPAINTING, JobType
from farm.domain.plan import Plan
from farm.domain.state import JobState
from tests.e2e import reference
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.conftest import Expected
from tests.e2e.reference import differing, final_frames
from tests.e2e.shots import DISKS, Handed, Shot, hand_in, request
from tests.packages import install_hooks


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks of an installed package."""
    install_hooks(tmp_path / "packages", monkeypatch)


def _hooked(name: str, **parameters: object) -> dict[str, object]:
    return {"hooks": [{"kind": "plugin", "name": name, "parameters": parameters}]}


@pytest.mark.parametrize("job_type", REPAINTING)
def test_an_impure_hook_sees_all_segments_one_after_the_other_whoever_runs_them(
    job_type: JobType, shot: Shot, handed: Handed, expected: Expected, tmp_path: Path
) -> None:
    asked = request(
        handed, job_type, detailer=_hooked("counting", step=0.002), input={"uri": handed.clip, "frames": "1-9"}
    )
    in_order = reference.render(tmp_path / "reference", shot, asked)[0]
    with AnyOrderFarm(tmp_path / "run", seed=5) as farm:
        hand_in(shot, farm)
        status = farm.run(asked)
    job = status.facts.id
    assert status.state is JobState.COMPLETED
    frames = final_frames(farm.blobs, job)
    assert differing(in_order, frames) == []
    assert len(differing({name: expected(job_type)[name] for name in frames}, frames)) == 9
    details = [task for task in farm.ran if task.startswith("detail.")]
    assert details == sorted(details, key=lambda task: tuple(map(int, task.split(".")[1:])))
    _counted(farm, job, len(details), job_type)


def _counted(farm: AnyOrderFarm, job: str, tasks: int, job_type: JobType) -> None:
    """Every source's hook has counted its own tasks, over all chunks, and shows it in the frames' corners."""
    document = farm.farm.document(job)
    last = max(int(name.rsplit("/", 1)[1].partition(".")[0]) for name in farm.blobs.list(keys.job(job, "plans/")))
    after = Plan.model_validate_json(farm.blobs.get(keys.plan(job, last))).last
    assert after is not None
    done = next(iter(farm.blobs.list(keys.done_prefix(after.key))))
    digest = done.removeprefix(keys.done_prefix(after.key)).removesuffix(".json")
    members = unpack(farm.blobs.get(keys.patches(after.key, digest)))
    counts = {source.name: int(members[f"state.{source.name}.0.bin"]) for source in document.sources}
    assert sum(counts.values()) == tasks
    if job_type is JobType.MASK:
        corner = decode(farm.blobs.get(keys.final(job, 0, "0009.png")))[:2, :4]
        assert np.unique(corner).tolist() == [counts[list(DISKS)[-1]]]


def test_a_pure_hook_stays_parallel_and_only_its_segment_is_rendered_anew(
    shot: Shot, handed: Handed, tmp_path: Path
) -> None:
    with AnyOrderFarm(tmp_path / "run") as farm:
        hand_in(shot, farm)
        plain = farm.run(request(handed, JobType.MASK))
        asked = request(handed, JobType.MASK).model_dump(mode="json", exclude_unset=True)
        asked["segments"][2] |= _hooked("softening", share=0.5)
        hooked = farm.run(request(handed, JobType.MASK).model_validate(asked))
        plans = [farm.tools.plan(hooked.facts.id, chunk) for chunk in range(4)]
    anew = sum(task.source == "right" for plan in plans for task in plan.tasks)
    assert (hooked.cache_misses, hooked.cache_hits) == (anew, plain.cache_misses - anew)
    assert anew < plain.cache_misses / 2
    ours, theirs = (final_frames(farm.blobs, status.facts.id) for status in (plain, hooked))
    assert len(differing(ours, theirs)) == shot.frames


def test_previews_show_each_crop_with_its_patch_and_change_nothing(
    shot: Shot, handed: Handed, expected: Expected, tmp_path: Path
) -> None:
    with AnyOrderFarm(tmp_path / "run") as farm:
        hand_in(shot, farm)
        job = farm.run(request(handed, JobType.MASK, detailer={"hooks": [{"kind": "preview"}]})).facts.id
        assert farm.run(request(handed, JobType.MASK)).cache_misses == 0
    assert differing(expected(JobType.MASK), final_frames(farm.blobs, job)) == []
    shown = final_frames(farm.blobs, job, "preview")
    assert sorted(shown) == sorted(f"{n:04d}_{name}_0.webp" for n in range(1, 29) for name in DISKS)
    task = next(task for task in farm.tools.plan(job, 0).tasks if task.source == "right")
    x1, y1, x2, y2 = task.crops[0].region
    drawn, final = decode(shown["0001_right_0.webp"]), decode(expected(JobType.MASK)["0001.png"])[y1:y2, x1:x2]
    assert drawn.shape == final.shape
    assert np.abs(drawn.mean(axis=2) - final.mean(axis=2)).mean() < 6  # WebP is lossy, and the clip grainy


def test_texts_filters_and_schedules_go_through_the_farm(shot: Shot, handed: Handed, tmp_path: Path) -> None:
    detailer = {
        "wildcard": "[CONCAT] {red|green} [SEP:9] blue",
        "cycle": 2,
        "hooks": [{"kind": "ordered_filter"}, {"kind": "cfg_schedule", "target_cfg": 2}],
    }
    asked = request(handed, JobType.MASK, detailer=detailer, input={"uri": handed.clip, "frames": "1-3"})
    expected = reference.render(tmp_path / "reference", shot, asked)[0]
    with AnyOrderFarm(tmp_path / "run") as farm:
        hand_in(shot, farm)
        job = farm.run(asked).facts.id
    assert differing(expected, final_frames(farm.blobs, job)) == []
    prompts = {crop.prompt for task in farm.tools.plan(job, 0).tasks for crop in task.crops}
    assert {prompt[0] for prompt in prompts} == {f"a {name} disk" for name in DISKS}
    assert {prompt[1] for prompt in prompts} <= {"red", "green"}
