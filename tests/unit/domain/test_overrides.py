"""Parameters that differ over a range of frames: what they touch, and what stays as it was."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from farm.detail.spans import Chunk
from farm.domain.detailer import JobType
from farm.domain.job import Job, JobRequest, SourceRange
from farm.domain.plan import Plan
from farm.domain.ranges import LayerSpan, layers
from farm.errors import Rejected
from tests.jobs import job, source
from tests.unit.domain.layouts import Layout, in_some_order, original
from tests.unit.domain.test_submission import completed

LAYOUTS = 40


def _range(of: Job, name: str, override: int, span: tuple[int, int], **parameters: Any) -> SourceRange:  # noqa: ANN401 - fields of Detailer
    own = of.source(name)
    detailer = own.detailer.model_copy(update=parameters)
    return SourceRange(
        override=override, start=span[0], end=span[1], source=own.model_copy(update={"detailer": detailer})
    )


def _overridden(seed: int) -> tuple[Layout, Layout]:
    """A scene, and the same with one or two overrides of one of its sources each."""
    plain, other = Layout(seed), Layout(seed)
    dice = random.Random(seed)
    ranges = []
    for number in range(dice.choice([1, 2])):
        start = dice.randrange(other.count)
        span = (start, dice.randint(start + 1, other.count))
        name = dice.choice(other.job.sources).name
        ranges.append(_range(other.job, name, number, span, prompt=f"other {number}", feather=dice.choice([0, 5])))
    other.job = other.job.model_copy(update={"ranges": tuple(ranges)})
    return plain, other


def _crop_keys(plan: Plan) -> dict[tuple[int, int, int], list[tuple[str, int]]]:
    """(frame, place, variation) -> key of the batch and place in it, of what is pasted."""
    return {
        (frame, place, variation): [(plan.task(ref.task).key, ref.crop)]
        for frame, variations in plan.paste.items()
        for variation, refs in enumerate(variations)
        for place, ref in enumerate(refs)
    }


def test_with_overrides_any_order_that_the_plan_allows_equals_the_loop_with_each_frames_own_parameters() -> None:
    for seed in range(LAYOUTS):
        _, layout = _overridden(seed)
        planned = layout.plan()
        for frame, (ours, theirs) in enumerate(
            zip(in_some_order(layout, planned, seed), original(layout), strict=True)
        ):
            assert np.array_equal(ours, theirs), f"layout {seed}, frame {frame}"


def test_crops_outside_the_range_stay_in_the_batches_that_they_had() -> None:
    kept_in_half_a_batch = 0
    for seed in range(LAYOUTS):
        plain, layout = _overridden(seed)
        before, after = (_crop_keys(one.plan().plan) for one in (plain, layout))
        covered = {f for piece in layout.job.ranges for f in range(piece.start, piece.end)}
        for at, keys in after.items():
            if at[0] not in covered:
                assert keys == before[at], f"layout {seed}, {at}"
                shared = {f for (f, _, _), other in before.items() if other[0][0] == keys[0][0]}
                kept_in_half_a_batch += bool(shared & covered)
    assert kept_in_half_a_batch > 0


def test_a_crop_that_reads_nothing_of_an_overridden_segment_stays_in_its_batch_inside_the_range_too() -> None:
    stayed = changed = 0
    for seed in range(LAYOUTS):
        plain, layout = _overridden(seed)
        before, after = plain.plan().plan, layout.plan().plan
        touched = {piece.source.name for piece in layout.job.ranges}
        for frame, (refs,) in after.paste.items():
            for place, ref in enumerate(refs):
                task = after.task(ref.task)
                old = before.paste[frame][0][place]
                same = before.task(old.task).key == task.key
                if task.source not in touched and not task.crops[ref.crop].under:
                    assert same
                    stayed += 1
                changed += not same
    assert stayed > 10
    assert changed > 10


def test_every_task_of_a_plan_is_pasted_or_read() -> None:
    for seed in range(LAYOUTS):
        plan = _overridden(seed)[1].plan().plan
        read = {ref.task for refs in plan.paste.values() for row in refs for ref in row}
        read |= {name for task in plan.tasks for name in task.waits}
        assert read == {task.id for task in plan.tasks}


def test_an_override_over_a_whole_chunk_is_planned_as_if_the_job_had_never_been_otherwise() -> None:
    for seed in range(30):
        layout, plain = Layout(seed), Layout(seed)
        name = layout.job.sources[0].name
        piece = _range(layout.job, name, 0, (0, layout.count), prompt="other")
        layout.job = layout.job.model_copy(update={"ranges": (piece,)})
        sources = (piece.source, *plain.job.sources[1:])
        plain.job = plain.job.model_copy(update={"sources": sources})
        assert [task.key for task in layout.plan().plan.tasks] == [task.key for task in plain.plan().plan.tasks]


def test_layers_are_cut_to_the_chunk_and_those_that_cover_it_are_its_ground() -> None:
    of = job((source("a"), source("b")), frames=64)
    ranges = (_range(of, "a", 0, (0, 40)), _range(of, "b", 1, (20, 30)), _range(of, "a", 3, (16, 32)))
    of = of.model_copy(update={"ranges": ranges})
    assert layers(of, Chunk(0, 0, 16, 0, 16)) == [LayerSpan(0, 0, 16)]
    assert layers(of, Chunk(1, 16, 32, 16, 32)) == [LayerSpan(0, 16, 32), LayerSpan(1, 20, 30), LayerSpan(3, 16, 32)]
    assert layers(of, Chunk(3, 48, 64, 48, 64)) == [LayerSpan(-1, 48, 64)]
    moving = of.model_copy(update={"type": JobType.ANIMATEDIFF})
    assert layers(moving, Chunk(1, 16, 32, 8, 40)) == [LayerSpan(3, 8, 40)]


def _over(frames: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of OverrideRequest
    return {"frames": frames, "set": {"prompt": "other"}, **more}


def test_a_later_override_wins_and_leaves_what_it_does_not_set() -> None:
    done = completed(
        overrides=[_over("11-20"), _over("16-30", set={"denoise": 0.2, "mask": "one"}), _over("1", segments=["head"])]
    )
    pieces = [(p.override, p.start, p.end, p.source.detailer.prompt, p.source.detailer.denoise) for p in done.ranges]
    assert pieces == [
        (0, 10, 20, "other", 0.5),
        (1, 15, 20, "other", 0.2),
        (1, 20, 30, "sharp", 0.2),
        (2, 0, 1, "other", 0.5),
    ]
    assert {p.source.media.name for p in done.ranges if p.override == 1} == {"one"}
    assert {media.name for media in done.media} == {"clip", "head", "one"}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"overrides": [_over("900-910")]}, "none with the number 900"),
        ({"overrides": [_over("90-91")], "input": {"uri": "clip", "frames": "1-80"}}, "the job's frames are 1-80"),
        ({"overrides": [_over("1-9", segments=["nose"])]}, "names the segment 'nose'; the job has: head"),
        ({"overrides": [_over("1-9", set={"sampler_name": "best"})]}, "'best'"),
        ({"overrides": [_over("60-90")], "type": "animatediff"}, "samples 48 frames together.* Say frames 49-96"),
        ({"overrides": [_over("100-132")], "type": "animatediff"}, "Say frames 97-132"),
        (
            {"overrides": [_over("1-48", set={"crop_factor": 2})], "type": "animatediff"},
            "crop_factor cannot differ between frames",
        ),
        ({"overrides": [_over("1-48", set={"mask": "one"})], "type": "animatediff"}, "mask cannot differ"),
    ],
)
def test_an_override_that_cannot_be_says_what_to_change(request_: dict[str, Any], said: str) -> None:
    with pytest.raises(Rejected, match=said):
        completed(**request_)


def test_whole_chunks_of_an_animatediff_job_may_differ() -> None:
    done = completed(type="animatediff", overrides=[_over("49-96"), _over("97-132", set={"denoise": 0.3})])
    assert [(piece.start, piece.end) for piece in done.ranges] == [(48, 96), (96, 132)]


@pytest.mark.parametrize(("change", "said"), [({}, "`set` is empty"), ({"mask": "a", "segs": "b"}, "not both")])
def test_an_override_sets_something_that_can_be(change: dict[str, Any], said: str) -> None:
    values = {"input": {"uri": "clip"}, "segments": [{"name": "head", "mask": "head"}]}
    with pytest.raises(ValidationError, match=said):
        JobRequest.model_validate({**values, "overrides": [_over("1-9", set=change)]})
