"""What is refused at submit, and what defaults become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from farm.domain.job import Job, JobRequest
from farm.domain.media import Media, Picture
from farm.domain.model import ModelKind, ModelRef
from farm.domain.segment import SegEntry, SegsDocument
from farm.domain.submission import Registry, complete, frame_range, mask_position
from farm.errors import NotFound, Rejected


def _media(name: str, frames: int = 132, **changes: Any) -> Media:  # noqa: ANN401 - fields of Media
    values = {"id": name, "kind": "video", "name": name, "width": 640, "height": 360, "frames": frames}
    return Media.model_validate(values | {"fps": (24, 1)} | changes)


MEDIA = {
    "clip": _media("clip"),
    "head": _media("head", kind="pictures", fps=None),
    "one": _media("one", 1, kind="pictures", fps=None),
    "range": _media("range", 32),
    "small": _media("small", 1, width=320, height=180),
    "short": _media("short", 5),
    "black": _media("black", empty=True),
    "segs": _media("segs", 1, kind="segs", fps=None),
    "gaps": _media(
        "gaps",
        3,
        kind="pictures",
        fps=None,
        first_number=10,
        pictures=tuple(Picture(number=n, name=f"f.{n}.png", blob=f"b{n}") for n in (10, 12, 20)),
    ),
}
DOCUMENT = SegsDocument(header=(360, 640), frames={500: (SegEntry(bbox=(0, 0, 9, 9), crop_region=(0, 0, 9, 9)),)})


def _model(name: str, kind: ModelKind | None = None) -> ModelRef:
    if name == "detail" and kind == "lora":
        return ModelRef(name=name, hash="2" * 64, kind="lora")
    if name == "still":
        return ModelRef(name=name, hash="1" * 64)
    if name != "demo":
        raise NotFound(f"There is no model {name!r} on this farm; it has: demo, still.")
    return ModelRef(name=name, hash="0" * 64, has_motion=True, recommended=ADVICE)


ADVICE: dict[str, bool | int | float | str] = {"cfg": 1.0, "prompt": "sharp", "negative": "soft"}


def completed(**request: Any) -> Job:  # noqa: ANN401 - fields of JobRequest
    values: dict[str, Any] = {"input": {"uri": "clip"}, "segments": [{"name": "head", "mask": "head"}]}
    registry = Registry(media=MEDIA.__getitem__, model=_model, segs=lambda _media: DOCUMENT)
    asked = JobRequest.model_validate(values | request)
    return complete(asked, registry, job_id="j", created="2026-01-01T00:00:00", user="", engine="fake-1")


def _mask(name: str) -> dict[str, Any]:
    return {"segments": [{"name": "head", "mask": name}]}


def _with(**parameters: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of Detailer
    return {"segments": [{"name": "head", "mask": "head", **parameters}]}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"input": {"uri": "clip", "frames": "100-140"}}, "has frames 1 to 132 .* none with the number 140"),
    ({"input": {"uri": "clip", "frames": "0-5"}}, "none with the number 0"),
    ({"input": {"uri": "clip", "frames": "9-5"}}, "the last frame comes before the first; write 5-9"),
    ({"input": {"uri": "clip", "frames": "1-10x2"}}, "give the first and the last frame number"),
    ({"input": {"uri": "gaps", "frames": "10-11"}}, "none with the number 11"),
    ({"input": {"uri": "segs"}}, "give a video or pictures"),
    (_mask("small"), "is 320x180 px, the clip 'clip' is 640x360 px. Scale the mask"),
    (_mask("short"), "has 5 frames; it needs 1 .* or 132"),
    (_mask("black"), "is empty: no pixel is white"),
    (_mask("segs"), "give it as `segs`"),
    ({"segments": [{"name": "head", "segs": "head"}]}, "is no SEGS document"),
    ({"segments": [{"name": "head", "segs": "segs"}]}, "has segments for frames 500 to 500, the job's frames are 1 to"),
    (_with(sampler_name="eulr"), "no sampler 'eulr'"),
    (_with(scheduler="karas"), "no scheduler 'karas'"),
    (_with(seed=2**64 - 1), "too near 2\\^64"),
    (_with(context_overlap=16), "the overlap must be smaller"),
    ({"model": "sdxl"}, "There is no model 'sdxl' .* it has: demo, still"),
    ({"vae": "demo2"}, "There is no model 'demo2'"),
    (_with(loras=["face"]), "There is no model 'face'"),
    (_with(prompt="embedding:face"), "`embedding:face`. There is no model 'face'"),
    (_with(prompt="(" * 500 + ")" * 500), "more than 100 pairs of parentheses"),
    ({"type": "animatediff", "model": "still"}, "has no motion module"),
    ({"type": "animatediff", "chunk": 50}, "must be a multiple of the stride 12 .* Try 48"),
    ({"type": "animatediff", "chunk": 12}, "24 or more. Try 24"),
    ({"type": "animatediff", "chunk": 65}, "Try 60"),
]


@pytest.mark.parametrize(("request_", "says"), REFUSED, ids=[says[:40] for _, says in REFUSED])
def test_refused_at_submit_with_what_was_seen_and_what_to_change(request_: dict[str, Any], says: str) -> None:
    with pytest.raises(Rejected, match=says):
        completed(**request_)


OUT_OF_RANGE: list[Callable[[], Job]] = [
    lambda: completed(**_with(denoise=0)),
    lambda: completed(**_with(denoise=1.5)),
    lambda: completed(**_with(steps=0)),
    lambda: completed(**_with(cfg=101)),
    lambda: completed(**_with(guide_size=10)),
    lambda: completed(**_with(denose=0.5)),
    lambda: completed(batch_size=0),
    lambda: completed(segments=[]),
    lambda: completed(segments=[{"name": "a", "mask": "head"}, {"name": "a", "mask": "one"}]),
    lambda: completed(segments=[{"name": "a", "mask": "head", "segs": "segs"}]),
    lambda: completed(segments=[{"name": "../a", "mask": "head"}]),
]


@pytest.mark.parametrize("asked", OUT_OF_RANGE)
def test_numbers_out_of_range_and_unknown_names_are_refused(asked: Callable[[], Job]) -> None:
    with pytest.raises(ValidationError):
        asked()


def test_what_a_segment_sets_wins_over_the_job_and_the_job_over_the_node() -> None:
    job = completed(
        detailer={"steps": 12, "denoise": 0.3},
        segments=[{"name": "a", "mask": "head", "denoise": 0.6}, {"name": "b", "mask": "one"}],
    )
    assert [(s.detailer.steps, s.detailer.denoise) for s in job.sources] == [(12, 0.6), (12, 0.3)]


def test_what_lies_over_the_model_is_the_segments_own_or_else_the_jobs() -> None:
    job = completed(
        detailer={"loras": ["detail:0.5"], "clip_skip": -2},
        segments=[{"name": "a", "mask": "head", "loras": []}, {"name": "b", "mask": "one"}],
    )
    assert [[lora.weight for lora in source.loras] for source in job.sources] == [[], [0.5]]
    assert {source.detailer.clip_skip for source in job.sources} == {-2}


def test_noise_mask_feather_has_each_nodes_own_default() -> None:
    assert completed().sources[0].detailer.noise_mask_feather == 20
    assert completed(type="animatediff").sources[0].detailer.noise_mask_feather == 0
    asked = completed(type="animatediff", **_with(noise_mask_feather=7))
    assert asked.sources[0].detailer.noise_mask_feather == 7


def test_chunks_default_to_sixteen_frames_and_to_four_strides() -> None:
    assert completed().chunk == 16
    assert completed(type="animatediff").chunk == 48
    assert completed(type="animatediff", **_with(context_length=8, context_overlap=3)).chunk == 50
    assert completed(type="animatediff", chunk=60).chunk == 60


def test_a_range_is_given_by_frame_numbers_also_where_numbers_have_gaps() -> None:
    assert frame_range(MEDIA["clip"], "60-91") == (59, 91)
    assert frame_range(MEDIA["clip"], None) == (0, 132)
    assert frame_range(MEDIA["gaps"], "12-20") == (1, 3)


def test_masks_belong_to_the_clip_the_range_or_all_frames() -> None:
    assert mask_position(MEDIA["one"], 132, 59, 70) == 0
    assert mask_position(MEDIA["head"], 132, 59, 70) == 70
    assert mask_position(MEDIA["range"], 132, 59, 70) == 11


def test_a_mask_for_the_range_alone_is_accepted() -> None:
    assert completed(input={"uri": "clip", "frames": "60-91"}, **_mask("range")).start == 59


def test_who_names_no_model_gets_what_the_farms_own_recommends_where_nothing_was_set() -> None:
    detailer = completed(**_with(steps=7)).sources[0].detailer
    assert (detailer.cfg, detailer.prompt, detailer.steps, detailer.denoise) == (1.0, "sharp", 7, 0.5)
    assert completed(**_with(cfg=3)).sources[0].detailer.cfg == 3


def test_who_names_a_model_gets_the_nodes_numbers_and_is_told_what_it_recommends() -> None:
    job = completed(model="demo")
    assert job.sources[0].detailer.cfg == 8.0
    assert job.warnings == ("Model 'demo' recommends cfg 1.0; this job differs in cfg.",)


def test_a_job_is_offered_to_the_least_gpu_that_holds_it() -> None:
    assert [completed(vram_gb=need).gpu_queue for need in (0, 7, 8, 20, 80)] == [
        "gpu.0", "gpu.8", "gpu.8", "gpu.24", "gpu.80"
    ]  # fmt: skip
    with pytest.raises(Rejected, match="the largest class of GPU is 80"):
        completed(vram_gb=81)


def test_a_negative_prompt_without_guidance_is_warned_of() -> None:
    assert "no effect at cfg 1" in completed(**_with(negative="blurry", cfg=1)).warnings[-1]
    advised = completed(**_with(cfg=1)).warnings
    assert not any("no effect at cfg 1" in text for text in advised), "nobody wrote the one that the model recommends"
    guided = completed(**_with(negative="blurry", keyframes={"cfg": [[1, 1], [9, 3]]}))
    assert not any("no effect at cfg 1" in text for text in guided.warnings)


def test_where_follow_does_nothing_the_job_says_so() -> None:
    def warned(**request: object) -> bool:
        return any("`follow` does nothing" in text for text in completed(detailer={"follow": True}, **request).warnings)

    one = [{"name": "head", "mask": "one"}]
    assert warned(type="mask")
    assert warned(type="animatediff", segments=one)
    assert not warned(type="animatediff")
