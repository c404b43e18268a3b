"""Content keys: what is in them, and that they stay what they were."""

from __future__ import annotations

import numpy as np
import pytest

from farm.detail.box import Box
from farm.detail.segs import Seg
from farm.detail.spans import Chunk
from farm.domain import keys
from farm.domain.detailer import REPAINTING, Detailer, JobType
from farm.domain.job import Job, MotionLora
from farm.domain.model import ModelRef
from farm.domain.plan import PlannedFrame
from farm.domain.planning import plan_chunk
from farm.domain.task_keys import ALWAYS_IN_KEY, NOT_IN_KEY, detailer_part
from tests.jobs import job, source

FIRST_KEYS = {
    JobType.MASK: "621975e0492ce3113fea22e67a36a2491509bf48e19b11e07af5f47cc3f21eae",
    JobType.ANIMATEDIFF: "ddc5ed2e99314f5cce669eaa77f3843a030a72eb62675a8a684b9cd917b03ad1",
}
"""Keys of `_job` before any parameter was added to the first ones."""


def _job(job_type: JobType, **parameters: object) -> Job:
    face = source("face", job_type, **({"prompt": "a face", "seed": 5} | parameters))
    return job((face,), job_type, frames=2, size=(64, 48))


def _key(asked: Job) -> str:
    frames = [PlannedFrame(position=p, number=p + 1, name=f"{p}.png", digest=f"{p}" * 64) for p in range(2)]
    seg = Seg((4.0, 4.0, 20.0, 20.0), Box(0, 0, 32, 32), np.ones((32, 32), dtype=np.float32), "A", 1.0)
    found = {"face": {p: [seg] for p in range(2)}}
    (task,) = plan_chunk(asked, Chunk(0, 0, 2, 0, 2), frames, found).plan.tasks
    return task.key


@pytest.mark.parametrize("job_type", REPAINTING)
def test_a_parameter_that_was_added_re_renders_nothing_at_its_default(job_type: JobType) -> None:
    asked = _job(job_type)
    assert _key(asked) == FIRST_KEYS[job_type]
    # A document from before the parameters, read again.
    known = ALWAYS_IN_KEY | NOT_IN_KEY
    document = asked.model_dump(mode="json", exclude={"motion", "motion_loras", "gpu_queue"})
    for one in document["sources"]:
        one["detailer"] = {name: value for name, value in one["detailer"].items() if name in known}
    assert _key(Job.model_validate(document)) == FIRST_KEYS[job_type]


def test_every_parameter_is_in_the_key_or_said_not_to_be() -> None:
    assert not ALWAYS_IN_KEY & NOT_IN_KEY
    assert set(Detailer.model_fields) >= ALWAYS_IN_KEY | NOT_IN_KEY
    assert set(detailer_part(Detailer())) == ALWAYS_IN_KEY


@pytest.mark.parametrize(
    "parameters",
    [
        {"context_schedule": "looped_uniform"},
        {"context_stride": 2},
        {"closed_loop": True},
        {"context_fuse": "relative"},
        {"prompt": "another"},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_a_parameter_that_changes_pixels_changes_the_key(parameters: dict[str, object]) -> None:
    assert _key(_job(JobType.ANIMATEDIFF, **parameters)) != FIRST_KEYS[JobType.ANIMATEDIFF]


def test_the_motion_module_and_each_of_its_loras_are_in_the_key() -> None:
    plain = _job(JobType.ANIMATEDIFF)
    module, lora = (ModelRef(name=name, hash=name * 64) for name in "ab")
    jobs = [
        plain,
        plain.model_copy(update={"motion": module}),
        plain.model_copy(update={"motion_loras": (MotionLora(model=lora, strength=1),)}),
        plain.model_copy(update={"motion_loras": (MotionLora(model=lora, strength=0.5),)}),
        plain.model_copy(update={"motion": module, "motion_loras": (MotionLora(model=lora, strength=1),)}),
    ]
    found = [_key(one) for one in jobs]
    assert found[0] == FIRST_KEYS[JobType.ANIMATEDIFF]
    assert len(set(found)) == len(found)


def test_what_was_made_as_planned_is_under_the_planned_key() -> None:
    assert keys.made_key("a" * 64, [], {}) == "a" * 64


def test_what_was_made_otherwise_has_a_key_of_its_own() -> None:
    planned, other = "a" * 64, "b" * 64
    made = [
        keys.made_key(planned, ["vae_decode_tiles_2"], {}),
        keys.made_key(planned, ["vae_decode_tiles_4"], {}),
        keys.made_key(planned, [], {"c" * 64: "d" * 64}),
        keys.made_key(planned, ["vae_decode_tiles_2"], {"c" * 64: "d" * 64}),
        keys.made_key(other, ["vae_decode_tiles_2"], {}),
        planned,
    ]
    assert len(set(made)) == len(made)
    assert keys.made_key(planned, ["b", "a"], {}) == keys.made_key(planned, ["a", "b"], {})


def test_the_key_of_an_output_is_read_from_its_name() -> None:
    assert keys.key_of(keys.patches("k" * 64, "d" * 64)) == "k" * 64
    assert keys.key_of("eaten") == "eaten"
