"""What a segment brings along, completed and refused at submit."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from farm.domain.attachments import Lookup, Packages, attached
from farm.domain.control import Canny, ControlRequest, NoPreprocessor, PluginPreprocessor
from farm.domain.hooks import DenoiseSchedule, HookFacts, PluginHook
from farm.domain.job import Source
from farm.domain.media import Media
from farm.domain.model import ModelRef
from farm.domain.segment_request import SegmentRequest
from farm.errors import NotFound, Rejected
from tests.jobs import media, source

CLIP = media(frames=20)
MEDIA = {
    "one": media("one", 1),
    "each": media("each", 20, 320, 180),
    "range": media("range", 8),
    "odd": media("odd", 7),
    "segs": Media(id="s", kind="segs", name="segs", width=9, height=9, frames=1),
}


def _media(uri: str) -> Media:
    if uri not in MEDIA:
        raise NotFound(f"There is no upload {uri!r}.")
    return MEDIA[uri]


def _model(name: str) -> ModelRef:
    return ModelRef(name=name, hash=f"hash of {name}")


def _attached(packages: Packages | None = None, **segment: Any) -> Source:  # noqa: ANN401 - fields of a segment
    asked = SegmentRequest.model_validate({"name": "face", "mask": "one", **segment})
    parameters = {name: getattr(asked, name) for name in ("wildcard", "hooks")}
    lookup = Lookup(_media, _model, _model, packages or Packages())
    return attached(source("face", **parameters), asked, CLIP, (4, 12), lookup)


def test_a_segment_without_attachments_stays_as_it_is() -> None:
    assert _attached() == source("face")


def test_controlnets_are_completed_in_order_and_those_of_strength_zero_left_out() -> None:
    found = _attached(
        controlnets=[
            {"model": "depth", "image": "each", "strength": 0.5, "end_percent": 0.8},
            {"model": "off", "strength": 0},
            {"model": "edges", "preprocessor": "canny"},
            {"model": "tile"},
        ]
    )
    assert [(c.model.hash, c.image and c.image.name, c.strength) for c in found.controls] == [
        ("hash of depth", "each", 0.5),
        ("hash of edges", None, 1.0),
        ("hash of tile", None, 1.0),
    ]
    assert [c.preprocessor for c in found.controls] == [NoPreprocessor(), Canny(), NoPreprocessor()]
    assert found.looks_at == (("frame", MEDIA["each"].brief()),)


def test_further_prompts_are_completed_and_looked_at_after_the_control_pictures() -> None:
    found = _attached(
        controlnets=[{"model": "depth", "image": "one"}],
        conditionings=[
            {"prompt": "a hat", "mask": "each", "strength": 2},
            {"prompt": "off", "mask": "one", "strength": 0},
            {"prompt": "fog", "mask": "range", "negative": True},
        ],
        image_prompts=[{"model": "ip", "image": "odd", "weight": 0}, {"model": "ip", "image": "range", "weight": 0.4}],
    )
    assert [(one.model.hash, one.weight, one.context_crop_factor) for one in found.image_prompts] == [
        ("hash of ip", 0.4, 1.2)
    ]
    assert [(one.prompt, one.strength, one.negative) for one in found.conditionings] == [
        ("a hat", 2.0, False),
        ("fog", 1.0, True),
    ]
    assert [(use, media.name) for use, media in found.looks_at] == [
        ("frame", "one"),
        ("frame", "range"),
        ("mask", "each"),
        ("mask", "range"),
    ]


@pytest.mark.parametrize("uri", ["one", "each", "range"])
def test_control_pictures_may_be_one_for_all_one_per_frame_or_one_per_frame_of_the_range(uri: str) -> None:
    assert _attached(controlnets=[{"model": "depth", "image": uri}]).controls


@pytest.mark.parametrize(
    ("segment", "says"),
    [
        ({"controlnets": [{"model": "d", "image": "odd"}]}, "ControlNet 'd': 'odd' has 7 frames; it needs 1 .* or 20"),
        ({"controlnets": [{"model": "d", "image": "segs"}]}, "is a SEGS document; give a picture"),
        ({"controlnets": [{"model": "d", "image": "gone"}]}, "no upload 'gone'"),
        ({"controlnets": [{"model": "d", "preprocessor": "depth"}]}, "no preprocessor 'depth' .* none, canny"),
        ({"image_prompts": [{"model": "ip", "image": "odd"}]}, "IP-Adapter 'ip': 'odd' has 7 frames"),
        ({"conditionings": [{"prompt": "a hat", "mask": "odd"}]}, "conditioning 'a hat': 'odd' has 7 frames"),
        ({"hooks": [{"kind": "plugin", "name": "soften"}]}, "no hook 'soften'"),
        ({"hooks": [{"kind": "unsampler", "scheduler": "karas"}]}, "no scheduler 'karas'"),
        ({"wildcard": "[SEP:x]"}, "in a text"),
    ],
)
def test_what_cannot_be_drawn_is_refused(segment: dict[str, Any], says: str) -> None:
    with pytest.raises(Rejected, match=says):
        _attached(**segment)


@pytest.mark.parametrize(
    "control",
    [
        {"start_percent": 0.5, "end_percent": 0.5},
        {"strength": 11},
        {"image": "one", "preprocessor": "canny"},
        {"preprocessor": {"kind": "canny", "low_threshold": 0.9, "high_threshold": 0.1}},
        {"preprocessor": {"kind": "canny", "threshold": 0.9}},
    ],
    ids=str,
)
def test_numbers_out_of_range_and_two_sources_of_pictures_are_refused(control: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ControlRequest.model_validate({"model": "d", **control})


@pytest.mark.parametrize(
    "hook",
    [
        {"kind": "noise"},
        {"kind": "denoise_schedule", "target_denoise": 0},
        {"kind": "variation_noise", "variation_strength": 1.5},
        {"kind": "unsampler", "sampler_name": "euler_ancestral"},
        {"kind": "preview", "fps": 1},
    ],
    ids=str,
)
def test_unknown_hooks_and_parameters_out_of_range_are_refused(hook: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SegmentRequest.model_validate({"name": "face", "mask": "one", "hooks": [hook]})


def test_what_packages_say_of_themselves_is_kept_with_the_job() -> None:
    packages = Packages(lambda name: HookFacts(False, "7"), lambda name: "3")
    found = _attached(
        packages,
        hooks=[{"kind": "denoise_schedule"}, {"kind": "plugin", "name": "soften"}],
        controlnets=[{"model": "d", "preprocessor": "depth"}],
    )
    assert found.detailer.hooks == (DenoiseSchedule(), PluginHook(name="soften", pure=False, version="7"))
    assert found.controls[0].preprocessor == PluginPreprocessor(name="depth", version="3")
    asked = {"kind": "plugin", "name": "depth", "version": "2"}
    with pytest.raises(Rejected, match="has version '2'; '3' is installed"):
        _attached(packages, controlnets=[{"model": "d", "preprocessor": asked}])


def test_a_name_stands_for_a_preprocessor_with_its_defaults() -> None:
    named = [ControlRequest.model_validate({"model": "d", "preprocessor": name}) for name in ("none", "canny", "depth")]
    assert [one.preprocessor for one in named] == [NoPreprocessor(), Canny(), PluginPreprocessor(name="depth")]


def test_a_source_survives_its_document() -> None:
    found = _attached(controlnets=[{"model": "d", "image": "each"}, {"model": "e", "preprocessor": "canny"}])
    assert Source.model_validate_json(found.model_dump_json()) == found
