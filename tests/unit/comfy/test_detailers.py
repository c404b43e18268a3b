"""Detailer nodes: their inputs, what says where to paint, their order, their outputs."""

from __future__ import annotations

import pytest

from farm.domain.detailer import Detailer
from tests.unit.comfy.flows import Flow, add, flow, inputs, notes, only_problem, problems, read, segment


def test_every_input_of_the_mask_detailer_is_carried() -> None:
    values = {
        **{"guide_size": 512, "guide_size_for": False, "max_size": 768, "mask_mode": False, "seed": 2**64 - 1},
        **{"steps": 7, "cfg": 3.5, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 0.4, "feather": 9},
        **{"crop_factor": 2.0, "drop_size": 20, "refiner_ratio": 0.3, "cycle": 2, "inpaint_model": True},
        **{"noise_mask_feather": 11, "bbox_fill": True, "contour_fill": False},
    }
    made = flow()
    inputs(made, "7").update(values, batch_size=3)
    done = read(made).request()
    assert values.items() <= done["segments"][0].items()
    assert done["batch_size"] == 3


def test_who_leaves_the_noise_masks_feather_out_gets_0_as_in_comfyuis_api() -> None:
    made = flow()
    del inputs(made, "7")["noise_mask_feather"]
    assert segment(made)["noise_mask_feather"] == 0


def test_a_missing_input_is_told_and_the_farms_default_taken() -> None:
    made = flow()
    del inputs(made, "7")["guide_size"]
    assert "guide_size" not in segment(made)
    assert "input `guide_size`: It is missing" in notes(made)


def test_inputs_of_older_versions_in_words_are_read() -> None:
    made = flow()
    inputs(made, "7").update(guide_size_for="crop_region", mask_mode="whole", steps="7")
    one = segment(made)
    assert (one["guide_size_for"], one["mask_mode"], one["steps"]) == (False, False, 7)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("steps", 0, "`steps` is 0"),
        ("steps", 2.5, "it must be a whole number"),
        ("cfg", "high", "it must be a number"),
        ("seed", 2**64, "`seed` is 18446744073709551616"),
        ("mask_mode", 3, "it must be true or false"),
        ("sampler_name", "nothing", "There is no sampler 'nothing'"),
        ("scheduler", "nothing", "There is no scheduler 'nothing'"),
        ("sampler_name", {}, "It is an object; it must be text"),
        ("guide_size", 10, "`guide_size` is 10"),
        ("cfg", float("nan"), "it must be a number"),
        ("cfg", 10**400, "it must be a number"),
        ("sampler_name", "\ud800", "it must be text"),
    ],
)
def test_a_value_that_cannot_be_is_told_at_its_node_and_input(name: str, value: object, told: str) -> None:
    made = flow()
    inputs(made, "7")[name] = value
    said = only_problem(made)
    assert f'node 7 (MaskDetailerPipe "face"), input `{name}`' in said
    assert told in said


def test_a_schedule_by_a_node_cannot_be_carried() -> None:
    made = add(flow(), "30", "GITSSchedulerFuncProvider")
    inputs(made, "7")["scheduler_func_opt"] = ["30", 0]
    assert "input `scheduler_func_opt`" in only_problem(made)


def test_the_seeds_control_acts_on_the_page_only() -> None:
    made = flow()
    inputs(made, "7")["control_after_generate"] = "randomize"
    assert "the seed is the one written here" in notes(made)


def for_each(made: Flow) -> Flow:
    """The same with DetailerForEachPipe in place of MaskDetailerPipe."""
    kept = inputs(made, "7")
    for name in ("mask", "mask_mode", "batch_size", "crop_factor", "drop_size", "bbox_fill", "contour_fill"):
        kept.pop(name)
    add(made, "30", "MaskToSEGS", mask=["6", 0], combined=False, crop_factor=1.5, bbox_fill=True, drop_size=12)
    more = {"noise_mask": False, "force_inpaint": True, "wildcard": "[ASC] a [SEP] b", "segs": ["30", 0]}
    return add(made, "7", "DetailerForEachPipe", **kept, **more)


def test_a_detailer_for_each_takes_its_regions_from_its_segs() -> None:
    one = segment(for_each(flow()))
    assert (one["crop_factor"], one["bbox_fill"], one["drop_size"], one["contour_fill"]) == (1.5, True, 12, False)
    assert (one["mask_mode"], one["wildcard"]) == (False, "[ASC] a [SEP] b")
    assert "seed_mode" not in one


def test_leaving_large_segments_alone_cannot_be_carried() -> None:
    made = for_each(flow())
    inputs(made, "7")["force_inpaint"] = False
    assert "input `force_inpaint`" in only_problem(made)


def test_all_areas_in_one_segment_cannot_be_carried() -> None:
    made = for_each(flow())
    inputs(made, "30")["combined"] = True
    assert "input `combined`" in only_problem(made)


def test_filters_on_segs_become_hooks_before_the_others() -> None:
    made = for_each(flow())
    add(
        made,
        "31",
        "ImpactSEGSOrderedFilter",
        segs=["30", 0],
        target="area(=w*h)",
        order=True,
        take_start=0,
        take_count=2,
    )
    add(made, "32", "ImpactSEGSRangeFilter", segs=["31", 0], target="width", mode=False, min_value=5, max_value=50)
    inputs(made, "7")["segs"] = ["32", 0]
    assert segment(made)["hooks"] == [
        {"kind": "ordered_filter", "take_start": 0, "take_count": 2, "target": "area", "order": "descending"},
        {"kind": "range_filter", "min_value": 5, "max_value": 50, "target": "width", "mode": "outside"},
        {"kind": "variation_noise", "variation_seed": 3, "variation_strength": 0.25},
    ]
    inputs(made, "7")["segs"] = ["32", 1]
    assert "second output" in only_problem(made)


def test_joined_segs_become_segments_in_their_order_and_the_seeds_are_told_of() -> None:
    made = for_each(flow())
    add(made, "31", "LoadImageMask", image="hand.png", channel="red")
    add(made, "32", "MaskToSEGS", mask=["31", 0])
    add(made, "33", "ImpactSEGSConcat", segs2=["30", 0], segs1=["32", 0])
    inputs(made, "7")["segs"] = ["33", 0]
    segments = read(made).request()["segments"]
    assert [(one["name"], one["mask"]) for one in segments] == [
        ("node_7-1", "/files/hand.png|red"),
        ("node_7-2", "/files/clipspace/face.png|red"),
    ]
    assert "begins anew with each source" in notes(made)


def test_controlnets_on_segs_are_carried_with_their_pictures_or_preprocessors() -> None:
    made = for_each(flow())
    add(made, "31", "ControlNetLoader", control_net_name="openpose.safetensors")
    add(made, "32", "LoadImage", image="pose.png")
    add(made, "33", "Canny_Preprocessor_Provider_for_SEGS //Inspire", low_threshold=0.3, high_threshold=0.7)
    net = {"segs": ["30", 0], "control_net": ["31", 0], "strength": 0.5}
    add(
        made,
        "34",
        "ImpactControlNetApplyAdvancedSEGS",
        **net,
        start_percent=0,
        end_percent=0.8,
        control_image=["32", 0],
    )
    add(made, "35", "ImpactControlNetApplySEGS", **{**net, "segs": ["34", 0]}, segs_preprocessor=["33", 0])
    inputs(made, "7")["segs"] = ["35", 0]
    canny = {"kind": "canny", "low_threshold": 0.3, "high_threshold": 0.7}
    assert segment(made)["controlnets"] == [
        {"model": "openpose", "strength": 0.5, "start_percent": 0, "end_percent": 0.8, "image": "/files/pose.png|"},
        {"model": "openpose", "strength": 0.5, "preprocessor": canny},
    ]


def test_segs_of_an_unknown_node_cannot_be_carried() -> None:
    made = add(for_each(flow()), "30", "ImpactMakeTileSEGS")
    assert "makes no tiles" in only_problem(made)


def second_mask(made: Flow, **changes: object) -> Flow:
    """Another MaskDetailerPipe behind the first one."""
    add(made, "40", "LoadImageMask", image="hand.png", channel="red")
    add(made, "41", "MaskDetailerPipe", **{**inputs(made, "7"), "image": ["7", 0], "mask": ["40", 0], **changes})
    made["8"]["inputs"]["images"] = ["41", 0]
    return made


def test_a_line_of_detailers_is_one_job_with_its_segments_in_that_order() -> None:
    made = second_mask(flow(), denoise=0.3)
    reordered = {name: made[name] for name in reversed(made)}
    segments = read(reordered).request()["segments"]
    assert [(one["name"], one["denoise"]) for one in segments] == [("face", 0.5), ("node_41", 0.3)]


def test_detailers_that_do_not_follow_each_other_are_chosen_from() -> None:
    made = second_mask(flow(), image=["5", 0])
    told = only_problem(made)
    assert "2 detailers" in told
    assert "--node" in told
    assert [one["name"] for one in read(made, nodes=("41",)).request()["segments"]] == ["node_41"]


def test_a_line_of_detailers_with_different_models_is_no_one_job() -> None:
    made = second_mask(flow(), basic_pipe=["43", 0])
    add(made, "42", "CheckpointLoaderSimple", ckpt_name="xl_base.safetensors")
    pipe = {"model": ["42", 0], "clip": ["42", 1], "vae": ["42", 2], "positive": ["44", 0], "negative": ["44", 0]}
    add(made, "43", "ToBasicPipe", **pipe)
    add(made, "44", "CLIPTextEncode", text="x", clip=["42", 1])
    told = only_problem(made)
    assert "its model differ" in told
    assert "--node 7, then --node 41" in told


def test_one_of_a_line_takes_the_frames_that_the_one_before_made() -> None:
    assert "must be what it makes of it" in notes(second_mask(flow()), nodes=("41",))


def test_a_detailer_that_is_not_there_is_told_with_those_that_are() -> None:
    assert "'99'. The workflow's detailers: 7 (MaskDetailerPipe" in problems(flow(), nodes=("99",))[0]


def test_a_workflow_without_detailers_says_which_there_are() -> None:
    made = flow()
    del made["7"]
    assert "DetailerForEachPipeForAnimateDiff" in only_problem(made)


def test_outputs_that_the_workflow_looks_at_are_kept() -> None:
    assert read(flow()).request()["outputs"] == ["video", "cropped_refined"]
    made = add(flow(), "30", "SaveImage", images=["7", 2])
    assert read(made).request()["outputs"] == ["video", "cropped_refined", "cropped_enhanced_alpha"]


def test_what_works_on_the_result_is_left_to_comfyui() -> None:
    made = add(flow(), "30", "ImageUpscaleWithModel", image=["7", 0])
    assert "node 30 (ImageUpscaleWithModel), input `image`: It works on what the detailer made" in notes(made)


def test_defaults_of_optional_inputs_are_the_farms_own() -> None:
    made = flow()
    for name in ("cycle", "inpaint_model", "bbox_fill", "contour_fill", "refiner_ratio"):
        del inputs(made, "7")[name]
    one = Detailer.model_validate({k: v for k, v in segment(made).items() if k in Detailer.model_fields})
    assert (one.cycle, one.inpaint_model, one.bbox_fill, one.contour_fill) == (1, False, False, True)


def test_every_node_of_an_exported_workflow_is_told_of() -> None:
    done = read(flow())
    assert [one.node for one in done.carried] == list(flow())
    assert all(one.became for one in done.carried)


def test_an_input_that_nobody_knows_is_told_of_and_where_something_is_linked_refused() -> None:
    made = flow()
    inputs(made, "7")["of_tomorrow"] = 3
    assert "input `of_tomorrow`: The farm does not know this input" in notes(made)
    inputs(made, "7")["of_tomorrow"] = ["1", 0]
    assert "input `of_tomorrow`" in only_problem(made)


def test_exported_workflows_have_no_inputs_that_nobody_knows() -> None:
    for name in ("mask_detailer", "animatediff_lora", "face_detailer"):
        assert "does not know" not in notes(flow(name))


def test_a_face_detailers_text_per_segment_is_in_its_pipe() -> None:
    made = flow("face_detailer")
    inputs(made, "6")["wildcard"] = "[ASC] one [SEP] two"
    assert read(made).draft["segments"][0]["wildcard"] == "[ASC] one [SEP] two"
    inputs(made, "6")["wildcard"] = "a face <lora:style:1>"
    assert any("input `wildcard`" in told and "names a LoRA" in told for told in problems(made))
