"""A job made from another one: the same but for what is said, and errors that name what is near."""

from __future__ import annotations

from typing import Any

import pytest

from farm.domain.assign import BadPath, assign
from farm.domain.job import Job, JobRequest
from farm.domain.like import LikeRequest, alike, draft_of
from farm.domain.media import Media
from farm.domain.model import ModelKind, ModelRef
from farm.domain.segment import SegEntry, SegsDocument
from farm.domain.submission import Registry, complete
from farm.errors import Rejected
from tests.jobs import media

MEDIA = {
    **{f"upload:{m.id}": m for m in (media("one", 1), media("each", 40), media("depth", 40))},
    **{f"upload:{m.id}": m for m in (media("clip", 40), media("other", 40))},
}
SEGS = Media(id="segs", kind="segs", name="segs", width=96, height=64, frames=1)
MEDIA["upload:segs"] = SEGS
DOCUMENT = SegsDocument(header=(64, 96), segs=(SegEntry(bbox=(0, 0, 9, 9), crop_region=(0, 0, 9, 9)),))
UPLOAD = {name.removeprefix("upload:").rstrip("0"): name for name in MEDIA}


def _model(name: str, kind: ModelKind | None = None) -> ModelRef:
    """Any name is there; its hash is found as well, but says nothing about its name."""
    name = name.removeprefix("hash of ")
    found = ModelRef(name=name, hash=f"hash of {name}", kind=kind or "model", recommended={"steps": 11})
    return found.model_copy(update={"has_motion": True})


def _complete(request: JobRequest) -> Job:
    registry = Registry(media=MEDIA.__getitem__, model=_model, segs=lambda _: DOCUMENT)
    return complete(request, registry, job_id="j", created="2026-01-01T00:00:00", user="", engine="fake-1")


def _job(**more: Any) -> Job:  # noqa: ANN401 - fields of JobRequest
    face = {
        "name": "face",
        "mask": UPLOAD["each"],
        "prompt": "a face, embedding:soft",
        "loras": [{"model": "sharp", "weight": 0.5}],
        "controlnets": [{"model": "net", "image": UPLOAD["depth"], "strength": 0.7}, {"model": "edges"}],
        "image_prompts": [{"model": "adapter", "image": UPLOAD["one"], "weight": 0.4}],
        "conditionings": [{"prompt": "a hat", "mask": UPLOAD["one"], "strength": 2}],
        "hooks": [{"kind": "denoise_schedule", "target_denoise": 0.2}],
    }
    values: dict[str, Any] = {
        "input": {"uri": UPLOAD["clip"], "frames": "5-36", "fps": 29.97},
        "segments": [face, {"name": "cup", "segs": UPLOAD["segs"], "denoise": 0.3, "prompt": "a cup"}],
        "overrides": [{"frames": "9-12", "segments": ["cup"], "set": {"denoise": 0.6}}],
        "detailer": {"denoise": 0.4, "cfg": 3, "seed": 7},
        "refiner": "refiner",
        "vae": "vae",
        "embeddings": {"soft": "softer"},
        "batch_size": 2,
        "chunk": 20,
        "priority": 70,
        "vram_gb": 20,
        "outputs": ["cropped"],
    }
    return _complete(JobRequest.model_validate({**values, **more}))


def _alike(of: Job, frames: str | None = None, **changes: Any) -> Job:  # noqa: ANN401 - any value
    paths = {path.replace("__", "."): value for path, value in changes.items()}
    return _complete(alike(of, MEDIA[UPLOAD["clip"]], LikeRequest(like="j", set=paths, frames=frames)))


def _content(job: Job) -> dict[str, Any]:
    """All but words: names of models and how LoRAs were named."""
    values = job.model_dump(mode="json", exclude={"warnings"})

    def bare(value: Any) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(value, dict):
            named = "hash" in value
            return {k: bare(v) for k, v in value.items() if not (named and k == "name") and k != "detailer"} | (
                {"detailer": {**value["detailer"], "loras": None}} if "detailer" in value else {}
            )
        return [bare(entry) for entry in value] if isinstance(value, list) else value

    found: dict[str, Any] = bare(values)
    return found


def test_a_job_like_another_with_no_change_is_the_same_by_content() -> None:
    moving = {"type": "animatediff", "chunk": 24, "motion": "mm", "motion_loras": [{"model": "pan", "strength": 0.5}]}
    for of in (
        _job(),
        _job(input={"uri": UPLOAD["clip"]}, embeddings={}, overrides=[]),
        _job(**moving, overrides=[], refiner=None),
    ):
        assert _content(_alike(of)) == _content(of)


def test_every_field_of_a_request_is_carried_over() -> None:
    assert set(draft_of(_job(), MEDIA[UPLOAD["clip"]])) == set(JobRequest.model_fields)


def test_what_a_model_recommends_by_now_does_not_reach_a_job_like_an_older_one() -> None:
    of = _job().model_copy(update={"model": ModelRef(name="demo", hash="hash of demo", recommended={"steps": 3})})
    assert _alike(of).sources[0].detailer.steps == of.sources[0].detailer.steps


def test_paths_reach_the_job_one_segment_all_segments_and_the_parts_of_a_list() -> None:
    of = _job()
    changes: dict[str, Any] = {
        "segments.face.prompt": "a smile",
        "denoise": 0.2,
        "priority": 3,
        "input.uri": UPLOAD["other"],
        "segments.face.controlnets.1.strength": 0.1,
        "embeddings.hard": "harder",
        "refiner": None,
    }
    made = _complete(alike(of, MEDIA[UPLOAD["clip"]], LikeRequest(like="j", set=changes)))
    face, cup = made.sources
    assert (face.detailer.prompt, cup.detailer.prompt) == ("a smile", "a cup")
    assert [one.detailer.denoise for one in made.sources] == [0.2, 0.2]
    assert [one.strength for one in face.controls] == [0.7, 0.1]
    assert (made.priority, made.input.name, made.refiner) == (3, "other", None)


def test_a_value_takes_the_place_of_key_frames_and_the_other_way_round() -> None:
    frames = {"denoise": [[5, 0.2], [36, 0.6]], "cfg": [[5, 2]]}
    of = _job(detailer={"keyframes": frames, "steps": 4}, overrides=[])
    assert _content(_alike(of)) == _content(of)
    plain = _alike(of, denoise=0.3)
    for source in plain.sources:
        assert source.detailer.keyframes is not None
        assert (source.detailer.denoise, source.detailer.keyframes.denoise) == (0.3, ())
        assert source.detailer.keyframes.cfg
    keyed = _alike(plain, keyframes={"denoise": [[5, 0.1]]})
    assert {source.detailer.keyframes.denoise for source in keyed.sources if source.detailer.keyframes} == {((5, 0.1),)}
    part = _alike(of, "10-19", segments__face__denoise=0.5)
    (piece,) = part.ranges
    assert piece.source.detailer.keyframes is not None
    assert (piece.source.detailer.denoise, piece.source.detailer.keyframes.denoise) == (0.5, ())


def test_a_change_of_a_range_leaves_the_job_as_it_is_elsewhere() -> None:
    of = _job(overrides=[])
    made = _alike(of, "10-19", segments__face__prompt="a smile", cfg=1, segments__face__controlnets__0__strength=0.2)
    assert made.sources == _alike(of).sources
    assert [one.frames for one in made.overrides] == ["10-19", "10-19"]
    last = {piece.source.name: piece for piece in made.ranges}
    assert {(piece.start, piece.end) for piece in made.ranges} == {(9, 19)}
    face = last["face"].source
    assert (face.detailer.prompt, face.detailer.cfg, last["cup"].source.detailer.cfg) == ("a smile", 1, 1)
    assert [one.strength for one in face.controls] == [0.2, 1.0]


def test_a_second_change_of_the_same_range_takes_the_place_of_the_first() -> None:
    once = _alike(_job(overrides=[]), "10-19", segments__face__prompt="a smile")
    assert len(_alike(once, "10-19", segments__face__prompt="a grin").overrides) == 1
    assert len(_alike(once, "10-19", segments__face__denoise=0.1).overrides) == 2
    assert len(_alike(once, "10-19", prompt="a grin").overrides) == 1
    assert len(_alike(once, "10-20", segments__cup__prompt="a cup").overrides) == 2


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("segments.face.promt", "there is no 'promt'; near it are: prompt"),
        ("segments.nose.prompt", "there is no segment 'nose'; the job has: face, cup"),
        ("prioritty", "near it are: priority"),
        ("detailer.stepz", "near it are: steps"),
        ("input.frame", "near it are: frames"),
        ("xyzzy", "there are: approve_every, batch_limit"),
        ("segments.face.controlnets.7.strength", "there is no entry '7': the list has 2"),
        ("segments.face.controlnets.0.strenght", "near it are: strength"),
        ("segments.face.prompt.0", "has no parts"),
        ("hooks.0.target_denoise", "the segments differ in 'hooks'"),
    ],
)
def test_a_path_that_names_nothing_is_refused_with_what_is_near(path: str, said: str) -> None:
    with pytest.raises(BadPath, match=said):
        alike(_job(), MEDIA[UPLOAD["clip"]], LikeRequest(like="j", set={path: 1}))


@pytest.mark.parametrize("path", ["model", "priority", "input.uri", "segments.face.name", "overrides"])
def test_what_belongs_to_the_whole_job_cannot_be_changed_for_a_range(path: str) -> None:
    with pytest.raises(BadPath, match="cannot differ between the frames of one job"):
        alike(_job(), MEDIA[UPLOAD["clip"]], LikeRequest(like="j", set={path: "x"}, frames="10-19"))


def test_a_range_without_a_change_and_a_value_out_of_range_are_refused() -> None:
    with pytest.raises(Rejected, match="nothing is changed"):
        _alike(_job(), "10-19")
    with pytest.raises(Rejected, match=r"`segments.0.steps` is 0"):
        _alike(_job(), segments__face__steps=0)


def test_names_are_free_where_they_are_the_users_own() -> None:
    draft: dict[str, Any] = {"segments": [], "embeddings": {}}
    assign(draft, "embeddings.soft", "softer")
    assert draft["embeddings"] == {"soft": "softer"}
