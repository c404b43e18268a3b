"""Clips, masks and detectors."""

from __future__ import annotations

import pytest

from farm.comfy.pictures import FileUse
from farm.comfy.registry import Known
from farm.comfy.translate import Asked, translate
from farm.errors import Rejected
from tests.unit.comfy.flows import KNOWN, Flow, add, flow, found, inputs, notes, only_problem, problems, read, segment


def mask_from(made: Flow, node: str, slot: int = 0) -> object:
    """The mask that the detailer gets when it is fed by this output."""
    inputs(made, "7")["mask"] = [node, slot]
    return segment(made)["mask"]


def test_a_loaded_pictures_mask_is_what_is_transparent() -> None:
    made = add(flow(), "30", "LoadImage", image="painted.png [input]")
    assert mask_from(made, "30", 1) == "/files/painted.png|alpha|inverted"


def test_inverting_twice_is_nothing() -> None:
    made = add(flow(), "30", "InvertMask", mask=["6", 0])
    assert mask_from(made, "30") == "/files/clipspace/face.png|red|inverted"
    add(made, "31", "InvertMask", mask=["30", 0])
    assert mask_from(made, "31") == "/files/clipspace/face.png|red"


def test_a_channel_of_a_video_is_a_mask_per_frame() -> None:
    made = add(flow(), "30", "VHS_LoadVideo", video="masks.mp4")
    add(made, "31", "ImageToMask", image=["30", 0], channel="green")
    assert mask_from(made, "31") == "/files/masks.mp4|green"


def test_a_mask_that_a_node_makes_must_be_given() -> None:
    made = add(flow(), "30", "GrowMask", mask=["6", 0])
    inputs(made, "7")["mask"] = ["30", 0]
    assert "node 30 (GrowMask)" in only_problem(made)
    assert segment(made, files={"7": "upload:1"})["mask"] == "upload:1"
    assert segment(made, files={"": "upload:1"})["mask"] == "upload:1"
    assert segment(made, files={"30": "upload:1"})["mask"] == "upload:1"


def test_a_mask_for_a_node_that_wants_none_is_a_slip() -> None:
    assert "Nothing asks for the mask of node '2'" in only_problem(flow(), files={"2": "upload:1"})


def test_one_mask_without_a_node_cannot_be_meant_for_two() -> None:
    made = add(flow(), "30", "MaskDetailerPipe", **{**inputs(flow(), "7"), "image": ["7", 0]})
    told = only_problem(made, files={"": "upload:1"})
    assert "--mask 7=PATH --mask 30=PATH" in told


def test_a_mask_that_is_not_there_is_asked_for() -> None:
    told = only_problem(flow(), find=lambda use: None)
    assert "node 6 (LoadImageMask" in told
    assert "--mask 6=PATH" in told


def test_a_file_that_cannot_be_used_says_why() -> None:
    def refuse(use: FileUse) -> str:
        raise Rejected("It has no transparency.")

    assert "It has no transparency." in only_problem(flow(), find=refuse)


def test_without_a_given_clip_the_workflows_own_is_taken_with_its_frames() -> None:
    made = flow()
    inputs(made, "5").update(skip_first_frames=10, frame_load_cap=20)
    assert read(made, frames=None).request()["input"] == {"uri": "/files/clip.mp4|", "frames": "11-30"}
    assert read(made, frames=None, range="3-5").request()["input"]["frames"] == "3-5"


@pytest.mark.parametrize(
    ("name", "value"), [("force_rate", 12), ("select_every_nth", 2), ("custom_width", 512), ("skip_first_frames", 3)]
)
def test_a_loader_that_changes_its_clip_cannot_be_carried_but_a_given_clip_can(name: str, value: int) -> None:
    made = flow()
    inputs(made, "5")[name] = value
    assert f"input `{name}`" in only_problem(made, frames=None)
    assert f"without {name}" in notes(made)


def test_frames_that_the_workflow_makes_must_be_given() -> None:
    made = add(flow(), "30", "VAEDecode", samples=["31", 0])
    inputs(made, "7")["image"] = ["30", 0]
    assert "--frames" in only_problem(made, frames=None)
    assert "must be its pictures" in notes(made)


def test_a_clip_that_is_not_there_is_asked_for() -> None:
    told = problems(flow(), frames=None, find=lambda use: None)
    assert any("'clip.mp4', which was not found" in each and "--frames" in each for each in told)


def face(**changes: object) -> Flow:
    made = flow("face_detailer")
    inputs(made, "8").update(changes)
    return made


MAPPED = {"bbox/face_yolov8m.pt": "face"}


def test_a_face_detailer_becomes_a_segment_with_a_detector() -> None:
    one = read(face(), models=MAPPED).draft["segments"][0]
    assert one["detect"] == {"detector": "face", "threshold": 0.5, "dilation": 10, "track": False}
    assert (one["crop_factor"], one["drop_size"], one["mask_mode"]) == (1.4, 10, True)
    # It goes over the frames of a batch with seed + frame (SPEC 12).
    assert one["seed_mode"] == "per_frame"


def test_a_detector_that_the_farm_lacks_comes_with_what_to_do() -> None:
    told = problems(face())[0]
    assert "node 4 (UltralyticsDetectorProvider" in told
    assert "`farm model add face_yolov8m face_yolov8m.onnx`" in told
    assert "It has: face." in told


def test_a_sam_draws_shapes_in_boxes_and_its_hint_must_be_the_center() -> None:
    made = face(sam_threshold=0.9, sam_bbox_expansion=3, sam_dilation=2)
    add(made, "30", "SAMLoader", model_name="sam_vit_b_01ec64.pth", device_mode="AUTO")
    inputs(made, "6")["sam_model_opt"] = ["30", 0]
    told = problems(made, models=MAPPED)
    assert any("no SAM for 'sam_vit_b_01ec64.pth'. Add it as a folder" in each for each in told)
    known = [*KNOWN, Known("sam_vit_b_01ec64", "sam")]
    detect = translate(made, Asked(frames="clip", find=found, models=MAPPED), known).draft["segments"][0]["detect"]
    shapes = {"sam": "sam_vit_b_01ec64", "sam_threshold": 0.9, "sam_bbox_expansion": 3, "sam_dilation": 2}
    assert shapes.items() <= detect.items()
    inputs(made, "8")["sam_detection_hint"] = "rect-4"
    assert any("input `sam_detection_hint`" in each for each in problems(made, models=MAPPED))


def test_a_second_detector_cannot_be_carried() -> None:
    made = face()
    inputs(made, "6")["segm_detector_opt"] = ["4", 1]
    assert any("does not lay a second detector" in told for told in problems(made, models=MAPPED))


def test_segs_of_a_detector_carry_labels_and_filters() -> None:
    made = flow("animatediff_lora")
    add(made, "30", "UltralyticsDetectorProvider", model_name="bbox/face_yolov8m.pt")
    found = {"threshold": 0.6, "dilation": 4, "crop_factor": 2.0, "drop_size": 16, "labels": "face, person"}
    add(made, "31", "BboxDetectorSEGS", bbox_detector=["30", 0], image=["10", 0], **found)
    inputs(made, "14")["segs"] = ["31", 0]
    one = read(made, models=MAPPED).draft["segments"][0]
    assert one["detect"]["labels"] == ["face", "person"]
    assert (one["detect"]["threshold"], one["crop_factor"], one["drop_size"]) == (0.6, 2.0, 16)


def test_the_detector_for_animatediff_keeps_its_masking_mode() -> None:
    made = flow("animatediff_lora")
    add(made, "30", "UltralyticsDetectorProvider", model_name="bbox/face_yolov8m.pt")
    found = {"bbox_threshold": 0.4, "bbox_dilation": 0, "crop_factor": 3.0, "drop_size": 10, "sub_threshold": 0.5}
    modes = {"masking_mode": "Don't combine", "segs_pivot": "1st frame mask"}
    pictures = {"bbox_detector": ["30", 0], "image_frames": ["10", 0]}
    add(made, "31", "ImpactSimpleDetectorSEGS_for_AD", **pictures, **found, **modes)
    inputs(made, "14")["segs"] = ["31", 0]
    detect = read(made, models=MAPPED).draft["segments"][0]["detect"]
    assert (detect["masking_mode"], detect["segs_pivot"]) == ("dont_combine", "first_frame_mask")


@pytest.mark.parametrize("provider", ["CLIPSegDetectorProvider", "MMDetDetectorProvider"])
def test_detectors_that_the_farm_does_not_run_are_refused_with_the_reason(provider: str) -> None:
    made = add(face(), "4", provider, model_name="x")
    assert any(f"node 4 ({provider})" in told for told in problems(made))


def test_a_detector_that_looks_at_other_pictures_is_told_of() -> None:
    made = flow("animatediff_lora")
    add(made, "30", "UltralyticsDetectorProvider", model_name="bbox/face_yolov8m.pt")
    add(made, "31", "BboxDetectorSEGS", bbox_detector=["30", 0], image=["11", 0], labels="all")
    inputs(made, "14")["segs"] = ["31", 0]
    assert "looks for it in the clip, whatever is here" in notes(made, models=MAPPED)
    inputs(made, "31")["image"] = ["10", 0]
    assert "looks for it" not in notes(made, models=MAPPED)
