"""Every parameter of both nodes has a test of its own, and their defaults and ranges are those of SPEC 1.1."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Gt, Le

from farm.domain.detailer import Detailer, JobType, merged
from farm.domain.job import JobRequest
from farm.domain.segment_request import SegmentRequest
from tests.unit.gpu.parameters import CLIP, HELD, MASK

TESTS = ("test_parameters_regions", "test_parameters_sampling", "test_parameters_models")
"""Modules that fill HELD."""
HERE = Path(__file__).parent
ELSEWHERE = {
    "controlnets": (HERE / "test_control.py", "test_strength_picture_and_net_decide_and_the_sum_has_no_order"),
    "image_prompts": (HERE / "test_image_prompts.py", "test_weight_picture_and_range_decide"),
    "conditionings": (
        HERE / "test_control.py",
        "test_a_further_prompt_acts_where_its_mask_is_white_and_by_its_strength",
    ),
    "segs": (
        HERE.parents[1] / "e2e" / "test_outputs.py",
        "test_the_segments_that_a_job_found_can_be_given_back_and_give_the_same_frames",
    ),
    "keyframes": (
        HERE.parents[1] / "e2e" / "test_keyframes.py",
        "test_frames_of_one_value_are_those_of_a_job_with_that_value",
    ),
    "detect": (
        HERE.parent / "workers" / "test_detect_job.py",
        "test_frames_are_repainted_where_something_was_found_and_nowhere_else",
    ),
    "motion": (HERE / "test_motion.py", "test_versions_paint_differently"),
    "motion_loras": (HERE / "test_motion_lora.py", "test_a_motion_lora_adds_its_share_to_the_weights"),
}
"""Parameters with more to them than one rule, and a test of each that holds them, for both nodes."""
WINDOWS = HERE / "test_windows.py"
ELSEWHERE_OF_CLIPS = {
    "follow": (
        HERE.parents[1] / "e2e" / "test_follow.py",
        "test_crops_keep_their_size_hold_their_targets_and_move_calmly",
    ),
    "context_schedule": (
        WINDOWS,
        "test_uniform_windows_begin_with_the_static_ones_and_are_then_shifted_by_the_steps_reversed_bits",
    ),
    "context_stride": (WINDOWS, "test_distances_double_as_often_as_the_stride_and_the_clip_allow"),
    "closed_loop": (WINDOWS, "test_only_a_closed_loop_shows_the_last_frame_next_to_the_first"),
}
NOT_OF_THE_NODES = {"name", "type", "input", "segments", "detailer"} | {
    *("overrides", "chunk", "batch_limit", "outputs", "priority", "vram_gb", "max_attempts", "max_workers"),
    *("webhook", "notify", "approve_every"),
}
"""Of a job: what it is about, and how the farm goes about it."""
PARAMETERS = {*Detailer.model_fields, *JobRequest.model_fields, *SegmentRequest.model_fields} - NOT_OF_THE_NODES

BOTH: dict[str, tuple[object, float | None, float | None]] = {
    "guide_size": (384, 64, 16384),
    "guide_size_for": (True, None, None),
    "max_size": (1024, 64, 16384),
    "seed": (0, 0, 2**64 - 1),
    "steps": (20, 1, 10_000),
    "cfg": (8.0, 0, 100),
    "denoise": (0.5, 0.0001, 1),
    "feather": (5, 0, 100),
    "refiner_ratio": (0.2, 0, 1),
}
OF_MASK = {
    "mask_mode": (True, None, None),
    "crop_factor": (3.0, 1, 100),
    "drop_size": (10, 1, 16384),
    "cycle": (1, 1, 10),
    "inpaint_model": (False, None, None),
    "noise_mask_feather": (20, 0, 100),
    "bbox_fill": (False, None, None),
    "contour_fill": (True, None, None),
}
OF_CLIP = {"noise_mask_feather": (0, 0, 100)}


@pytest.mark.parametrize("node", [MASK, CLIP])
@pytest.mark.parametrize("parameter", sorted(PARAMETERS))
def test_a_parameter_has_a_test_of_its_own_for_each_node(node: JobType, parameter: str) -> None:
    for module in TESTS:
        import_module(f"tests.unit.gpu.{module}")
    elsewhere = ELSEWHERE | (ELSEWHERE_OF_CLIPS if node is CLIP else {})
    if parameter in elsewhere:
        file, name = elsewhere[parameter]
        assert f"\ndef {name}(" in file.read_text()
    else:
        assert HELD[node].get(parameter), f"write a test for {parameter!r} and say so with @holds"


def test_no_test_holds_what_is_no_parameter() -> None:
    held = {name for names in HELD.values() for name in names}
    assert held | set(ELSEWHERE) | set(ELSEWHERE_OF_CLIPS) <= PARAMETERS


def _range(name: str) -> tuple[Any, Any]:
    metadata = Detailer.model_fields[name].metadata
    least = next((one.ge if isinstance(one, Ge) else one.gt for one in metadata if isinstance(one, Ge | Gt)), None)
    return least, next((one.le for one in metadata if isinstance(one, Le)), None)


@pytest.mark.parametrize(("node", "own"), [(MASK, OF_MASK), (CLIP, OF_CLIP)])
def test_defaults_and_ranges_are_those_of_the_nodes(
    node: JobType, own: dict[str, tuple[object, float | None, float | None]]
) -> None:
    detailer = merged(node, Detailer())
    for name, (default, least, most) in {**BOTH, **own}.items():
        assert getattr(detailer, name) == default, name
        assert _range(name) == (least, most), name


def test_a_job_has_one_variation_and_as_many_as_a_hundred() -> None:
    field = JobRequest.model_fields["batch_size"]
    assert field.default == 1
    with pytest.raises(ValueError, match="100"):
        JobRequest.model_validate({"input": {"uri": "x"}, "segments": [{"name": "a", "mask": "m"}], "batch_size": 101})
