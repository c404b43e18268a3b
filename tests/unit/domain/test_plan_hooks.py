"""What hooks and texts per segment do to a plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from farm.domain.detailer import REPAINTING, JobType
from farm.domain.hooks import LabelFilter, OrderedFilter, PluginHook, RangeFilter
from farm.domain.job import Job
from farm.domain.plan import After, Plan
from farm.domain.planning import plan_chunk
from tests.unit.domain.layouts import Layout, in_some_order, original

PURE, IMPURE = (PluginHook(name="x", pure=pure, version="1") for pure in (True, False))


def _with(job: Job, source: int = 0, **parameters: Any) -> Job:  # noqa: ANN401 - fields of Detailer
    changed = [
        one.model_copy(update={"detailer": one.detailer.model_copy(update=parameters)}) if i == source else one
        for i, one in enumerate(job.sources)
    ]
    return job.model_copy(update={"sources": tuple(changed)})


def _crops(plan: Plan, source: str) -> list[tuple[int, int, int, tuple[str, ...]]]:
    """(frame, segment, seed, prompt), sorted."""
    return sorted((c.frame, c.segment, c.seed, c.prompt) for t in plan.tasks if t.source == source for c in t.crops)


@pytest.mark.parametrize("job_type", REPAINTING)
def test_with_an_impure_hook_tasks_follow_one_another_in_the_loops_own_order(job_type: JobType) -> None:
    for seed in range(20):
        layout = Layout(seed, job_type)
        layout.job = _with(layout.job, hooks=(IMPURE,)).model_copy(update={"batch_size": 2})
        assert layout.job.sequential
        plan = layout.plan().plan
        pasted = [ref for v in range(2) for f in range(layout.count) for ref in plan.paste[f][v]]
        if job_type is JobType.MASK:
            assert [(task.id, len(task.crops)) for task in plan.tasks] == [(ref.task, 1) for ref in pasted]
        for before, task in zip((None, *plan.tasks), plan.tasks, strict=False):
            assert (task.after and task.after.task) == (before and before.id)
            assert before is None or before.id in task.waits
            assert before is None or (task.after and task.after.key) == before.key
        assert (plan.last and plan.last.task) == (plan.tasks[-1].id if plan.tasks else None)


def test_with_an_impure_hook_a_crop_is_cut_from_the_frame_as_all_before_it_left_it() -> None:
    layout = Layout(4)
    layout.job = _with(layout.job, hooks=(IMPURE,))
    plan = layout.plan().plan
    for frame, (refs,) in plan.paste.items():
        for place, ref in enumerate(refs):
            crop = plan.task(ref.task).crops[ref.crop]
            assert crop.frame == frame
            assert crop.under == refs[:place]


@pytest.mark.parametrize("job_type", REPAINTING)
def test_in_sequence_or_not_the_pixels_are_those_of_the_loop(job_type: JobType) -> None:
    for seed in range(20):
        layout = Layout(seed, job_type)
        layout.job = _with(layout.job, hooks=(IMPURE,))
        for ours, theirs in zip(in_some_order(layout, layout.plan(), 0), original(layout), strict=True):
            assert np.array_equal(ours, theirs)


def test_a_chunk_goes_on_from_the_chunk_before() -> None:
    layout = Layout(3)
    before = After(chunk=4, task="detail.4.9", key="k")
    alone, found = layout.plan(), layout.found
    layout.job = _with(layout.job, hooks=(IMPURE,))
    chunk, frames = layout.chunk, alone.plan.frames
    first, then = (plan_chunk(layout.job, chunk, frames, found, last).plan for last in (None, before))
    assert then.tasks[0].after == before
    assert then.tasks[0].waits == ()
    assert {t.key for t in first.tasks}.isdisjoint(t.key for t in then.tasks)
    empty: dict[str, dict[int, list[Any]]] = {name: {} for name in found}
    assert plan_chunk(layout.job, chunk, frames, empty, before).plan.last == before


def test_a_pure_hook_leaves_the_plan_as_it_is() -> None:
    layout = Layout(3)
    plain = layout.plan().plan
    layout.job = _with(layout.job, hooks=(PURE,))
    assert not layout.job.sequential
    hooked = layout.plan().plan
    assert [(t.id, t.waits, t.crops, t.after) for t in hooked.tasks] == [
        (t.id, t.waits, t.crops, None) for t in plain.tasks
    ]


@pytest.mark.parametrize("job_type", REPAINTING)
def test_filters_choose_and_order_segments_before_seeds_are_given(job_type: JobType) -> None:
    layout = Layout(11, job_type)
    name, seed = layout.job.sources[0].name, layout.job.sources[0].detailer.seed
    layout.job = _with(layout.job, hooks=(OrderedFilter(target="x1", order="ascending", take_start=1, take_count=1),))
    plan = layout.plan().plan
    for task in plan.tasks:
        if task.source == name:
            for crop in task.crops:
                lefts = sorted(seg.crop_region.x1 for seg in layout.found[name][crop.frame])
                assert (crop.segment, crop.seed, crop.region[0]) == (0, seed, lefts[1])


def test_filters_act_one_after_the_other() -> None:
    layout = Layout(11)
    name = layout.job.sources[0].name
    layout.job = _with(layout.job, hooks=(LabelFilter(labels="A"), RangeFilter(target="area", max_value=0)))
    assert not _crops(layout.plan().plan, name)
    layout.job = _with(layout.job, hooks=(LabelFilter(labels="other"),))
    assert not _crops(layout.plan().plan, name)


@pytest.mark.parametrize("job_type", REPAINTING)
def test_texts_reach_their_crops_and_no_batch_mixes_them(job_type: JobType) -> None:
    several = 0
    for seed in range(30):
        layout = Layout(seed, job_type)
        name = layout.job.sources[0].name
        layout.job = _with(layout.job, wildcard="[CONCAT] [ASC] one [SEP:77] two").model_copy(
            update={"batch_limit": 16}
        )
        plan = layout.plan().plan
        assert all(len({crop.prompt for crop in task.crops}) == 1 for task in plan.tasks)
        mine = [crop for task in plan.tasks if task.source == name for crop in task.crops]
        assert {crop.prompt for crop in mine} <= {(name, "one"), (name, "two")}
        assert all((crop.seed == 77) == (crop.prompt == (name, "two")) for crop in mine)
        several += len({crop.prompt for crop in mine}) > 1
    assert several > 3


def test_skipped_segments_are_neither_sampled_nor_waited_for_and_count_for_the_seed() -> None:
    for seed in range(30):
        layout = Layout(seed)
        plain = layout.plan().plan
        name = layout.job.sources[0].name
        layout.job = _with(layout.job, wildcard="[SKIP] [SEP]")
        kept = _crops(layout.plan().plan, name)
        assert set(kept) <= set(_crops(plain, name))
        layout.job = _with(layout.job, wildcard="[STOP]")
        assert not _crops(layout.plan().plan, name)


def test_a_text_for_one_segment_leaves_the_keys_of_those_that_do_not_read_it() -> None:
    layout = Layout(8)
    before = {task.key for task in layout.plan().plan.tasks}
    layout.job = _with(layout.job, source=len(layout.job.sources) - 1, wildcard="another")
    name = layout.job.sources[-1].name
    for task in layout.plan().plan.tasks:
        if task.source == name:
            assert task.key not in before
        elif not any(name == layout.plan().plan.task(w).source for w in task.waits):
            assert task.key in before
