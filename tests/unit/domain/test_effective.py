"""The keys of what was split, eaten or left without some crops."""

from __future__ import annotations

import pytest

from farm.domain import keys
from farm.domain.detailer import REPAINTING, JobType
from farm.domain.effective import EATEN, effective_key, together_key, without
from farm.domain.mask_table import mask_digest
from farm.domain.plan import DetailTask, PatchRef
from farm.domain.planning import Planned
from tests.unit.domain.layouts import Layout

LAYOUTS = 25


def outputs(planned: Planned) -> dict[str, str]:
    """What each task commits when all goes as planned."""
    return {task.id: keys.patches(task.key, "0" * 64) for task in planned.plan.tasks}


def key(
    layout: Layout, planned: Planned, task: DetailTask, *, eaten: tuple[str, ...] = (), frames: tuple[int, ...] = ()
) -> str:
    """A task's key where other tasks and frames are eaten."""

    def has(ref: PatchRef) -> bool:
        return ref.task not in eaten

    masks = [mask_digest(mask) for mask in planned.masks]
    after = task.after.key if task.after else ""
    return effective_key(layout.job, planned.plan, without(task, frames), outputs(planned), has, masks, after)


@pytest.mark.parametrize("job_type", REPAINTING)
def test_a_task_that_runs_as_planned_has_its_planned_key(job_type: JobType) -> None:
    for seed in range(LAYOUTS):
        layout = Layout(seed, job_type)
        planned = layout.plan()
        assert [key(layout, planned, task) for task in planned.plan.tasks] == [t.key for t in planned.plan.tasks]


def test_what_would_read_an_eaten_patch_has_another_key_and_nothing_else_has() -> None:
    seen = False
    for seed in range(LAYOUTS):
        layout = Layout(seed)
        planned = layout.plan()
        first = planned.plan.tasks[0].id if planned.plan.tasks else ""
        for task in planned.plan.tasks:
            reads = any(ref.task == first for crop in task.crops for ref in crop.under)
            assert (key(layout, planned, task, eaten=(first,)) != task.key) is reads
            seen = seen or reads
    assert seen


def test_without_some_crops_a_batch_has_a_key_of_its_own() -> None:
    for seed in range(LAYOUTS):
        layout = Layout(seed)
        planned = layout.plan()
        for task in planned.plan.tasks:
            frames = sorted({crop.frame for crop in task.crops})
            if len(frames) < 2:
                continue
            lacking = {key(layout, planned, task, frames=(frame,)) for frame in frames}
            assert len(lacking | {task.key}) == len(frames) + 1
            found = without(task, frames[:1])
            assert [task.crops[number] for number in found.members] == list(found.task.crops)
            assert not found.planned


def test_a_part_is_one_crop_and_waits_only_for_what_it_reads() -> None:
    for seed in range(LAYOUTS):
        plan = Layout(seed).plan().plan
        for task in plan.tasks:
            for number, crop in enumerate(task.crops):
                part = plan.part(f"{task.id}.{number}")
                assert part.crops == (crop,)
                assert set(part.waits) == {ref.task for ref in crop.under}
            assert plan.part(task.id) == task


def test_what_was_put_together_is_named_by_its_parts_in_order() -> None:
    names = {together_key(parts) for parts in (["a", "b"], ["b", "a"], ["a", EATEN], ["a"])}
    assert len(names) == 4
    assert together_key(["a", EATEN]) == together_key(["a", "eaten"])
