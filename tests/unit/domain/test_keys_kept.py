"""Keys of what was rendered before: a new parameter at its default must not have it rendered again."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from farm.detail.box import Box
from farm.detail.segs import Seg
from farm.detail.spans import Chunk
from farm.domain.detailer import REPAINTING, Detailer, JobType
from farm.domain.job import Job, Source
from farm.domain.model import LoraRef, ModelRef
from farm.domain.plan import PlannedFrame
from farm.domain.planning import plan_chunk
from farm.domain.task_keys import detailer_part
from tests.jobs import job, source

# Made by the first version that had keys.
KEYS = {
    JobType.MASK: "fc64a90509428721e3d453e010a0f76f9ea3211d369e3b4fb15c01e569b044a3",
    JobType.ANIMATEDIFF: "11d0f5fce812901b58a3f96ed5e01b48395bdfdc7c3bb183b983900892bbffc7",
}


def _job(job_type: JobType, **parameters: object) -> Job:
    return job((source("a", job_type, prompt="(sharp:1.2) face", seed=5, **parameters),), job_type, frames=1)


def _key(of: Job) -> str:
    mask = np.ones((20, 20), dtype=np.float32)
    segs = {"a": {0: [Seg((10.0, 10.0, 30.0, 30.0), Box(10, 10, 30, 30), mask)]}}
    frame = PlannedFrame(position=0, number=1, name="0001.png", digest="d")
    (task,) = plan_chunk(of, Chunk(0, 0, 1, 0, 1), [frame], segs).plan.tasks
    return task.key


def _with(of: Job, **changes: Any) -> Job:  # noqa: ANN401 - fields of Source
    return of.model_copy(update={"sources": (of.sources[0].model_copy(update=changes),)})


@pytest.mark.parametrize("job_type", REPAINTING)
def test_what_was_rendered_before_is_not_rendered_again(job_type: JobType) -> None:
    assert _key(_job(job_type)) == KEYS[job_type]


@pytest.mark.parametrize("job_type", REPAINTING)
def test_a_crop_that_stays_where_it_is_keeps_its_key_whether_it_may_follow_or_not(job_type: JobType) -> None:
    assert _key(_job(job_type, follow=True)) == KEYS[job_type]


def test_a_layer_of_the_text_encoder_is_in_the_key_where_one_is_chosen() -> None:
    assert detailer_part(Detailer(clip_skip=-2)) == {**detailer_part(Detailer()), "clip_skip": -2}


def test_whatever_lies_over_the_model_is_in_the_key() -> None:
    plain = _job(JobType.MASK)
    ref, other = (ModelRef(name="x", hash=digit * 64) for digit in "12")
    changed = [
        _job(JobType.MASK, clip_skip=-2),
        plain.model_copy(update={"vae": ref}),
        plain.model_copy(update={"vae": other}),
        _with(plain, loras=(LoraRef(model=ref, weight=1, clip_weight=1),)),
        _with(plain, loras=(LoraRef(model=ref, weight=1, clip_weight=0.5),)),
        _with(plain, loras=(LoraRef(model=ref, weight=0.5, clip_weight=1),)),
        _with(plain, loras=(LoraRef(model=other, weight=1, clip_weight=1),)),
        _with(plain, embeddings={"e": ref}),
        _with(plain, embeddings={"e": other}),
    ]
    keys = [_key(of) for of in (plain, *changed)]
    assert len(set(keys)) == len(keys)


def test_documents_written_before_still_load() -> None:
    of = _job(JobType.MASK)
    document = json.loads(of.model_dump_json())
    del document["vae"]
    for entry in document["sources"]:
        del entry["loras"], entry["embeddings"], entry["detailer"]["loras"], entry["detailer"]["clip_skip"]
    document["model"] = {"name": "demo", "hash": "0" * 64, "has_motion": False}
    assert Job.model_validate(document) == of
    assert Source.model_validate(document["sources"][0]) == of.sources[0]
