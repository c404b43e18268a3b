"""The plan of a chunk against the nodes' own loop."""

from __future__ import annotations

import numpy as np
import pytest

from farm.detail.blend import feather
from farm.detail.depends import writes
from farm.domain.detailer import REPAINTING, Detailer, JobType
from farm.domain.job import Job
from tests.unit.domain.layouts import Layout, in_some_order, original, waits_for

LAYOUTS = 150
"""Of each kind of job."""


@pytest.mark.parametrize("job_type", REPAINTING)
def test_any_order_that_the_plan_allows_equals_the_loop_crop_by_crop(job_type: JobType) -> None:
    for seed in range(LAYOUTS):
        layout = Layout(seed, job_type)
        planned = layout.plan()
        expected = original(layout)
        for order in range(2):
            result = in_some_order(layout, planned, order)
            for frame, (ours, theirs) in enumerate(zip(result, expected, strict=True)):
                assert np.array_equal(ours, theirs), f"layout {seed}, order {order}, frame {frame}"


@pytest.mark.parametrize("job_type", REPAINTING)
def test_segments_wait_only_for_what_they_read(job_type: JobType) -> None:
    for seed in range(LAYOUTS):
        layout = Layout(seed, job_type)
        for (name, index, _), waited in waits_for(layout.plan()).items():
            sources = {source for source, _, _ in waited}
            for other in sources - {name}:
                assert _reads(layout, name, index, other), f"layout {seed}: {name}[{index}] waits for {other}"


def test_disjoint_segments_never_wait_for_each_other() -> None:
    for seed in range(LAYOUTS):
        layout = Layout(seed)
        planned = layout.plan()
        for task in planned.plan.tasks:
            assert bool(task.waits) == any(crop.under for crop in task.crops)


def test_a_change_to_one_segment_changes_only_the_keys_of_those_that_read_it() -> None:
    changed_any = kept_any = False
    for seed in range(LAYOUTS):
        layout = Layout(seed)
        before = {task.id: task for task in layout.plan().plan.tasks}
        first = layout.job.sources[0]
        layout.job = _with_prompt(layout.job, "another")
        after = {task.id: task for task in layout.plan().plan.tasks}
        dirty = {task.id for task in after.values() if task.source == first.name}
        for task in after.values():  # in order: each comes after those that it waits for
            if dirty.intersection(task.waits):
                dirty.add(task.id)
        for name, task in after.items():
            assert (task.key != before[name].key) == (name in dirty), f"layout {seed}, {name}"
        changed_any |= bool(dirty)
        kept_any |= len(dirty) < len(after)
    assert changed_any
    assert kept_any


def test_feather_is_not_in_the_key_of_its_own_segment_but_in_that_of_its_readers() -> None:
    layout = Layout(3)
    tasks = layout.plan().plan.tasks
    first = layout.job.sources[0]
    detailer = first.detailer.model_copy(update={"feather": first.detailer.feather + 1})
    layout.job = layout.job.model_copy(
        update={"sources": (first.model_copy(update={"detailer": detailer}), *layout.job.sources[1:])}
    )
    for old in tasks:
        if old.source == first.name and not old.waits:
            assert old.key in {task.key for task in layout.plan().plan.tasks}


def test_the_same_inputs_give_the_same_plan() -> None:
    assert Layout(7).plan().plan == Layout(7).plan().plan


def test_variations_share_no_task_and_add_to_the_seed() -> None:
    layout = Layout(5)
    layout.job = layout.job.model_copy(update={"batch_size": 2})
    tasks = layout.plan().plan.tasks
    first = [task for task in tasks if task.variation == 0]
    second = [task for task in tasks if task.variation == 1]
    assert len(first) == len(second) > 0
    assert not {task.key for task in first} & {task.key for task in second}
    for one, two in zip(first, second, strict=True):
        assert [crop.seed + 1 for crop in one.crops] == [crop.seed for crop in two.crops]


def test_a_segment_without_a_mask_is_not_sampled_but_counts_for_the_seed() -> None:
    layout = Layout(11)
    name = layout.job.sources[0].name
    base = layout.job.sources[0].detailer.seed
    for task in layout.plan().plan.tasks:
        if task.source == name:
            for crop in task.crops:
                assert crop.seed == base + crop.segment
                assert layout.found[name][crop.frame][crop.segment].mask.any()


def _with_prompt(job: Job, prompt: str) -> Job:
    first = job.sources[0]
    detailer = Detailer.model_validate(first.detailer.model_dump() | {"prompt": prompt})
    return job.model_copy(update={"sources": (first.model_copy(update={"detailer": detailer}), *job.sources[1:])})


def _reads(layout: Layout, name: str, index: int, other: str) -> bool:
    """Whether in some frame a segment reads what another source writes, directly or by way of a third."""
    direct = _direct(layout)
    reach = {other}
    while True:
        grown = reach | {a for a, b in direct if b in reach}
        if grown == reach:
            return name in reach
        reach = grown


def _direct(layout: Layout) -> set[tuple[str, str]]:
    pairs = set()
    for reader in layout.job.sources:
        for writer in layout.job.sources:
            for frame in range(layout.count):
                for seg in layout.found[reader.name][frame]:
                    for below in layout.found[writer.name][frame]:
                        written = writes(feather(below.mask, writer.detailer.feather), below.crop_region)
                        if written.hits(seg.crop_region):
                            pairs.add((reader.name, writer.name))
    return pairs
