"""What a job may say of its motion module and of windows, at submit."""

from __future__ import annotations

from typing import Any

import pytest

from farm.domain.job import Job, JobRequest
from farm.domain.media import Media
from farm.domain.model import ModelKind, ModelRef
from farm.domain.submission import Registry, complete
from farm.errors import NotFound, Rejected
from farm.service.skeleton import chunk_of, chunks

CLIP = Media(id="clip", kind="video", name="clip", width=64, height=48, frames=100, fps=(24, 1))
MODELS = {
    "moving": ModelRef(name="moving", hash="0" * 64, has_motion=True),
    "still": ModelRef(name="still", hash="1" * 64),
    "mm": ModelRef(name="mm", hash="2" * 64, kind="motion"),
    "pan": ModelRef(name="pan", hash="3" * 64, kind="motion_lora"),
}


def _model(name: str, kind: ModelKind | None = None) -> ModelRef:
    if name not in MODELS:
        raise NotFound(f"There is no model {name!r}.")
    assert kind in (None, MODELS[name].kind)
    return MODELS[name]


def _complete(limit: int = 256, parameters: dict[str, Any] | None = None, **request: Any) -> Job:  # noqa: ANN401
    values: dict[str, Any] = {
        "type": "animatediff",
        "model": "moving",
        "input": {"uri": "clip"},
        "segments": [{"name": "face", "mask": "clip"}],
        "detailer": parameters or {},
    }
    registry = Registry(media=lambda _: CLIP, model=_model, segs=lambda _: pytest.fail("there is none"))
    asked = JobRequest.model_validate(values | request)
    return complete(asked, registry, job_id="j", created="2026", user="", engine="fake-1", whole_clip_frames=limit)


def test_a_motion_module_makes_an_animation_of_any_model() -> None:
    found = _complete(model="still", motion="mm", motion_loras=[{"model": "pan", "strength": -0.5}])
    assert found.motion == MODELS["mm"]
    assert [(lora.model, lora.strength) for lora in found.motion_loras] == [(MODELS["pan"], -0.5)]
    assert _complete(motion_loras=[{"model": "pan"}]).motion_loras[0].strength == 1
    assert _complete().motion is None


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"model": "still"}, "has no motion module.*`motion`"),
        ({"model": "still", "motion_loras": [{"model": "pan"}]}, "has no motion module"),
        ({"motion": "nobody"}, "no model 'nobody'"),
        ({"motion_loras": [{"model": "nobody"}]}, "no model 'nobody'"),
        ({"type": "mask", "motion": "mm"}, "are for `animatediff` jobs"),
        ({"type": "mask", "motion_loras": [{"model": "pan"}]}, "are for `animatediff` jobs"),
    ],
    ids=str,
)
def test_what_cannot_move_is_refused(request_: dict[str, Any], text: str) -> None:
    with pytest.raises(Rejected, match=text):
        _complete(**request_)


@pytest.mark.parametrize("schedule", ["standard_uniform", "looped_uniform"])
def test_a_clip_whose_windows_wander_is_one_chunk(schedule: str) -> None:
    found = _complete(parameters={"context_schedule": schedule}, input={"uri": "clip", "frames": "11-90"})
    assert (found.frames, chunks(found)) == (80, 1)
    only = chunk_of(found, 0)
    assert (only.core_start, only.core_end) == (only.run_start, only.run_end) == (10, 90)
    assert chunks(_complete(parameters={"context_schedule": schedule}, chunk=100)) == 1
    assert chunks(_complete()) == 3


def test_segments_may_lie_in_windows_of_unlike_stride_where_the_clip_is_one_chunk() -> None:
    segments = [
        {"name": "face", "mask": "clip", "context_schedule": "looped_uniform", "context_overlap": 8},
        {"name": "hand", "mask": "clip"},
    ]
    assert chunks(_complete(segments=segments)) == 1


@pytest.mark.parametrize(
    ("parameters", "request_", "text"),
    [
        ({}, {"limit": 99}, "samples all frames of the job together: 100, and this farm allows 99.*FARM_WHOLE_CLIP"),
        ({}, {"chunk": 48}, "`chunk` is 48.*100 frames cannot be divided. Leave `chunk` out"),
        ({"context_overlap": 16}, {}, "the overlap must be smaller than the window"),
    ],
    ids=str,
)
def test_windows_that_cannot_be_are_refused(parameters: dict[str, Any], request_: dict[str, Any], text: str) -> None:
    with pytest.raises(Rejected, match=text):
        _complete(parameters={"context_schedule": "looped_uniform"} | parameters, **request_)


def test_a_mask_job_has_no_windows_to_wander() -> None:
    assert chunks(_complete(limit=16, type="mask", parameters={"context_schedule": "looped_uniform"})) == 7


def test_parameters_without_effect_are_told() -> None:
    found = _complete(parameters={"context_stride": 2, "closed_loop": True}).warnings
    assert ["context_stride" in text for text in found] == [True, False]
    assert "closed_loop" in found[1]
    both = {"context_schedule": "looped_uniform", "context_stride": 2, "closed_loop": True}
    assert _complete(parameters=both).warnings == ()
