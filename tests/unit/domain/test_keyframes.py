"""Parameters that change over a clip: notation, layers, values, and what the plan makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from farm.detail.box import Box
from farm.detail.segs import Seg
from farm.detail.spans import Chunk
from farm.domain.detailer import REPAINTING, Detailer, JobType, merged
from farm.domain.job import Job, Source
from farm.domain.keyframes import Keyframes, setting_at, typed_over
from farm.domain.plan import DetailTask, Plan, PlannedFrame
from farm.domain.planning import plan_chunk
from farm.domain.stack import texts_of
from farm.errors import Rejected
from tests.jobs import job, source

RISING = {"denoise": [[0, 0.3], [120, 0.6]]}


def _at(keyframes: dict[str, Any], number: int) -> dict[str, float | str]:
    return dict(setting_at(Keyframes.model_validate(keyframes), number).values)


# --- notation ---


def test_key_frames_may_stand_where_a_value_stands() -> None:
    inside = Detailer.model_validate({"denoise": {"keyframes": [[0, 0.3], [120, 0.6]]}, "cfg": 3})
    assert inside == Detailer.model_validate({"keyframes": RISING, "cfg": 3})
    both = {"denoise": {"keyframes": [[0, 0.3], [120, 0.6]]}, "keyframes": {"cfg": [[1, 2]]}}
    assert Detailer.model_validate(both).keyframes == Keyframes.model_validate({**RISING, "cfg": [[1, 2]]})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"keyframes": {"denoise": [[5, 0.3], [5, 0.6]]}}, "frame numbers must rise"),
        ({"keyframes": {"denoise": [[5, 0.3], [4, 0.6]]}}, "key frame 4 comes behind 5"),
        ({"denoise": {"keyframes": [[1, 0.2]]}, "keyframes": RISING}, "twice"),
        ({"keyframes": {"denoise": [[1, 0]]}}, "greater than or equal to 0.0001"),
        ({"keyframes": {"cfg": [[1, 101]]}}, "less than or equal to 100"),
        ({"keyframes": {"steps": [[1, 20]]}}, "Extra inputs"),
        ({"keyframes": {"denoise": [[1.5, 0.3]]}}, "integer"),
        ({"denoise": {"keyframe": [[1, 0.3]]}}, "valid number"),
    ],
    ids=str,
)
def test_what_is_no_key_frame_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Detailer.model_validate(given)


def test_key_frames_have_the_ranges_of_their_parameters() -> None:
    for name in Keyframes.model_fields:
        of_value = Detailer.model_json_schema()["properties"][name]
        pairs = Keyframes.model_json_schema()["properties"][name]["items"]["prefixItems"]
        limits = {"minimum", "maximum", "maxLength"}
        assert {n: pairs[1][n] for n in limits & pairs[1].keys()} == {n: of_value[n] for n in limits & of_value.keys()}


# --- layers ---


def _merged(*layers: dict[str, Any]) -> Detailer:
    return merged(JobType.MASK, *(Detailer.model_validate(layer) for layer in layers))


def test_a_segments_value_ends_the_jobs_key_frames_and_the_other_way_round() -> None:
    assert _merged({"keyframes": RISING}, {"denoise": 0.4}).keyframes is None
    assert _merged({"keyframes": RISING}, {"cfg": 4}).keyframes == Keyframes.model_validate(RISING)
    assert _merged({"denoise": 0.4}, {"keyframes": RISING}).keyframes == Keyframes.model_validate(RISING)
    both = _merged({"keyframes": {**RISING, "cfg": [[1, 2]]}}, {"keyframes": {"cfg": [[1, 9]]}})
    assert both.keyframes == Keyframes.model_validate({**RISING, "cfg": [[1, 9]]})


def test_a_value_and_key_frames_in_one_place_are_refused() -> None:
    with pytest.raises(Rejected, match="`denoise` is given as one value and by key frames"):
        _merged({"keyframes": RISING, "denoise": 0.4})


def test_what_is_typed_ends_what_the_document_says_of_the_same_parameter() -> None:
    keys = {"denoise": [[1, 0.3]], "cfg": [[1, 2]]}
    assert typed_over({"keyframes": keys}, {"denoise": 0.4}) == {"denoise": 0.4, "keyframes": {"cfg": [[1, 2]]}}
    assert typed_over({"keyframes": {"cfg": [[1, 2]]}}, {"cfg": 4}) == {"cfg": 4, "keyframes": None}
    assert typed_over({"cfg": 4, "steps": 9}, {"keyframes": keys}) == {"steps": 9, "keyframes": keys}
    assert typed_over({"keyframes": {"cfg": [[1, 2]]}}, {"keyframes": {"denoise": [[1, 1]]}})["keyframes"] == {
        "cfg": [[1, 2]],
        "denoise": [[1, 1]],
    }
    assert typed_over({"keyframes": keys}, {"keyframes": None}) == {"keyframes": None}
    assert typed_over({"steps": 9}, {"cfg": 4}) == {"steps": 9, "cfg": 4}
    both = {"cfg": 4, "keyframes": {"cfg": [[1, 2]]}}
    assert typed_over({}, both) == both, "left for the job's own check to refuse"
    assert typed_over({"keyframes": "nonsense"}, {"cfg": 4}) == {"keyframes": "nonsense", "cfg": 4}


def test_a_job_with_key_frames_can_be_read_back() -> None:
    of = job((source("a", keyframes={**RISING, "prompt": [[1, "x"]]}),))
    assert Job.model_validate_json(of.model_dump_json()) == of


# --- values ---


def test_numbers_go_linearly_from_key_frame_to_key_frame_and_stay_outside() -> None:
    found = [_at(RISING, number)["denoise"] for number in (-5, 0, 60, 64, 119, 120, 999)]
    assert found == [0.3, 0.3, 0.45, 0.46, 0.6, 0.6, 0.6]
    assert [_at({"cfg": [[10, 8], [20, 5.55]]}, n)["cfg"] for n in (9, 10, 11, 15, 20)] == [8, 8, 7.8, 6.8, 5.55]
    assert _at({"cfg": [[7, 3.25]]}, 1) == {"cfg": 3.25}


@given(
    st.lists(st.integers(-50, 300), min_size=1, max_size=6, unique=True).map(sorted),
    st.lists(st.floats(0.0001, 1), min_size=6, max_size=6),
    st.integers(-60, 310),
)
def test_values_between_key_frames_lie_between_theirs(frames: list[int], values: list[float], number: int) -> None:
    keys = list(zip(frames, values, strict=False))
    found = _at({"denoise": keys}, number)["denoise"]
    around = [*[k for k in keys if k[0] <= number][-1:], *[k for k in keys if k[0] >= number][:1]]
    assert isinstance(found, float)
    assert min(v for _, v in around) <= found <= max(v for _, v in around)
    assert Detailer(denoise=found).denoise == found
    for frame, value in keys:
        assert _at({"denoise": keys}, frame) == {"denoise": value}


def test_a_prompt_fades_into_the_next_in_twentieths() -> None:
    keys = Keyframes.model_validate({"prompt": [[0, "day"], [100, "night"], [200, "night"]]})
    found = {number: setting_at(keys, number) for number in (0, 2, 3, 50, 97, 98, 100, 150, 300)}
    assert {number: (dict(s.values)["prompt"], s.toward, s.share) for number, s in found.items()} == {
        0: ("day", "", 0),
        2: ("day", "", 0),
        3: ("day", "night", 0.05),
        50: ("day", "night", 0.5),
        97: ("day", "night", 0.95),
        98: ("night", "", 0),
        100: ("night", "", 0),
        150: ("night", "", 0),
        300: ("night", "", 0),
    }


def test_all_prompts_are_looked_through_for_what_they_use() -> None:
    assert {"x", "embedding:y"} <= set(texts_of(source("a", keyframes={"prompt": [[1, "x"], [9, "embedding:y"]]})))


# --- the plan ---


def _plan(sources: tuple[Source, ...], job_type: JobType = JobType.MASK, frames: int = 16, first: int = 1) -> Plan:
    of = job(sources, job_type, frames)
    mask = np.ones((20, 20), dtype=np.float32)
    segs = {
        s.name: {f: [Seg((10.0, 10.0, 30.0, 30.0), Box(10, 10, 30, 30), mask)] for f in range(frames)} for s in sources
    }
    shown = [PlannedFrame(position=f, number=first + f, name=f"{f}.png", digest=f"d{f}") for f in range(frames)]
    return plan_chunk(of, Chunk(0, 0, frames, 0, frames), shown, segs).plan


def _frames(task: DetailTask) -> list[int]:
    return [crop.frame for crop in task.crops]


def test_crops_share_a_batch_only_if_their_values_are_equal() -> None:
    plan = _plan((source("a", keyframes={"denoise": [[1, 0.3], [18, 0.34]], "cfg": [[9, 4], [10, 6]]}),))
    assert {tuple(_frames(task)): task.values for task in plan.tasks} == {
        (0, 1, 2): {"denoise": 0.3, "cfg": 4},
        (3, 4, 5, 6): {"denoise": 0.31, "cfg": 4},
        (7, 8): {"denoise": 0.32, "cfg": 4},
        (9, 10): {"denoise": 0.32, "cfg": 6},
        (11, 12, 13, 14): {"denoise": 0.33, "cfg": 6},
        (15,): {"denoise": 0.34, "cfg": 6},
    }


def test_frames_are_counted_as_the_clip_counts_them() -> None:
    keys = {"cfg": [[1001, 2], [1004, 5]]}
    values = [task.values["cfg"] for task in _plan((source("a", keyframes=keys),), frames=4, first=1001).tasks]
    assert values == [2, 3, 4, 5]


@pytest.mark.parametrize("job_type", REPAINTING)
def test_a_value_by_key_frame_has_the_patches_of_the_same_value(job_type: JobType) -> None:
    def keys(**parameters: Any) -> list[str]:  # noqa: ANN401 - of Detailer
        return [task.key for task in _plan((source("a", job_type, **parameters),), job_type).tasks]

    assert keys(keyframes={"denoise": [[1, 0.4]], "cfg": [[1, 3]], "prompt": [[1, "x"]]}) == keys(
        denoise=0.4, cfg=3, prompt="x"
    )
    assert keys(keyframes={"denoise": [[1, 0.4]]}) != keys(denoise=0.5)
    assert keys(keyframes={"prompt": [[1, "x"], [33, "y"]]}) != keys(keyframes={"prompt": [[1, "x"], [33, "z"]]})


def test_a_moved_key_frame_renders_only_what_has_other_values() -> None:
    def keys(last: float) -> dict[int, str]:
        keyframes = {"denoise": [[1, 0.3], [8, 0.3], [16, last]]}
        plan = _plan((source("a", keyframes=keyframes), source("b")))
        return {crop.frame: task.key for task in plan.tasks if task.source == "a" for crop in task.crops}

    before, after = keys(0.5), keys(0.6)
    assert {frame for frame in before if before[frame] != after[frame]} == set(range(8, 16))


def test_an_animatediff_chunk_has_the_values_of_the_middle_of_its_core() -> None:
    keyframes = {"denoise": [[1, 0.2], [101, 0.7]], "prompt": [[1, "day"], [101, "night"]]}
    of = job((source("a", JobType.ANIMATEDIFF, keyframes=keyframes),), JobType.ANIMATEDIFF, 100)
    shown = [PlannedFrame(position=f, number=1 + f, name=f"{f}.png", digest=f"d{f}") for f in range(36, 100)]
    mask = np.ones((20, 20), dtype=np.float32)
    segs = {"a": {f: [Seg((10.0, 10.0, 30.0, 30.0), Box(10, 10, 30, 30), mask)] for f in range(36, 100)}}
    (task,) = plan_chunk(of, Chunk(1, 48, 96, 36, 100), shown, segs).plan.tasks
    assert task.values == {"denoise": 0.56, "prompt": "day"}
    assert {(crop.prompt, crop.toward, crop.share) for crop in task.crops} == {((), ("night",), 0.7)}


def test_texts_of_segments_fade_with_their_prompt() -> None:
    keyframes = {"prompt": [[1, "day"], [5, "night"]]}
    (_, task, *_rest) = _plan((source("a", wildcard="[CONCAT] sharp", keyframes=keyframes),), frames=4).tasks
    (crop,) = task.crops
    assert (crop.prompt, crop.toward, crop.share) == (("day", "sharp"), ("night", "sharp"), 0.25)


def test_plans_and_tasks_without_key_frames_say_nothing_of_them() -> None:
    (task,) = _plan((source("a"),)).tasks
    assert task.values == {}
    assert {(crop.toward, crop.share) for crop in task.crops} == {((), 0)}
