from pathlib import PurePath

import pytest

from farm.cli.draft import Draft, add_segments, addressed, assign, named, rooted
from farm.errors import Rejected


def media(path: str, purpose: str) -> str:
    return f"upload:{purpose}:{path}"


def model(name: str) -> str:
    return name


def job(**more: object) -> Draft:
    return {"input": {"uri": "clip.mp4"}, "segments": [{"name": "face", "mask": "face.png"}], **more}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("face.png", ("face", "face.png")),
        ("eyes=masks/left eye.png", ("eyes", "masks/left eye.png")),
        ("masks/left eye.png", ("left_eye", "masks/left eye.png")),
        ("folder/heads/", ("heads", "folder/heads/")),
        ("a b=c.png", ("a_b_c", "a b=c.png")),
        ("s3://bucket/masks/", ("masks", "s3://bucket/masks/")),
    ],
)
def test_a_mask_is_named_by_its_file_unless_a_name_is_given(text: str, expected: tuple[str, str]) -> None:
    assert named(text) == expected


def test_masks_of_one_name_are_told_apart_and_a_documents_mask_is_replaced_by_name() -> None:
    draft: Draft = {"segments": [{"name": "face", "mask": "old.png", "denoise": 0.3}]}
    add_segments(draft, "mask", ["face=new.png", "a/head.png", "b/head.png"])
    assert draft["segments"] == [
        {"name": "face", "mask": "new.png", "denoise": 0.3},
        {"name": "head", "mask": "a/head.png"},
        {"name": "head-2", "mask": "b/head.png"},
    ]


def test_set_reaches_the_detailer_one_segment_the_input_and_the_job() -> None:
    draft = job()
    for text in ["denoise=0.4", "segments.face.prompt=a = b", "input.fps=24", "priority=80", "outputs=[]", "name=12b"]:
        assign(draft, text)
    assert draft["detailer"] == {"denoise": 0.4}
    assert draft["segments"][0]["prompt"] == "a = b"
    assert draft["input"]["fps"] == 24
    assert (draft["priority"], draft["outputs"], draft["name"]) == (80, [], "12b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("denoise", "there is no `=`"),
        ("denose=1", "there is no 'denose'"),
        ("segments.nose.denoise=1", "there is no segment 'nose'; the job has: face"),
        ("segments.face.colour=1", "there is no 'colour'"),
    ],
)
def test_set_refuses_what_it_does_not_know(text: str, said: str) -> None:
    with pytest.raises(Rejected, match=said):
        assign(job(), text)


def test_paths_are_handed_in_and_farm_addresses_are_left_alone() -> None:
    draft = job()
    add_segments(draft, "mask", ["upload:abc"])
    add_segments(draft, "segs", ["eyes.json"])
    request = addressed(rooted(draft, PurePath("/shots")), media, model)
    assert request.input.uri == "upload:input:/shots/clip.mp4"
    assert [segment.mask or segment.segs for segment in request.segments] == [
        "upload:face:/shots/face.png",
        "upload:abc",
        "upload:eyes:/shots/eyes.json",
    ]


def test_control_pictures_are_handed_in_with_their_segment() -> None:
    draft = job()
    draft["segments"][0]["controlnets"] = [{"model": "depth", "image": "depth/"}, {"model": "canny"}]
    draft["segments"][0]["conditionings"] = [{"prompt": "a hat", "mask": "hat.png"}]
    request = addressed(rooted(draft, PurePath("/shots")), media, model)
    assert [net.image for net in request.segments[0].controlnets] == ["upload:face, image:/shots/depth", None]
    assert request.segments[0].conditionings[0].mask == "upload:face, mask:/shots/hat.png"


def test_models_of_controlnets_and_embeddings_are_handed_in_too() -> None:
    draft = job(embeddings={"style": "style.safetensors"})
    draft["segments"][0]["controlnets"] = [{"model": "nets/canny", "preprocessor": "canny"}]
    draft["segments"][0]["image_prompts"] = [{"model": "adapter", "image": "face.png"}]
    request = addressed(draft, media, lambda name: f"<{name}>")
    assert request.embeddings == {"style": "<style.safetensors>"}
    assert request.segments[0].controlnets[0].model == "<nets/canny>"
    assert request.segments[0].image_prompts[0].model == "<adapter>"


def test_everything_that_is_drawn_with_is_handed_in() -> None:
    draft = job(vae="mse.safetensors", detailer={"loras": ["a.safetensors:0.5"], "steps": 3})
    draft["segments"][0]["loras"] = ["b:1:0.5", {"model": "c"}]
    request = addressed(draft, media, lambda name: f"<{name}>")
    assert (request.model, request.vae, request.refiner) == ("<demo>", "<mse.safetensors>", None)
    assert [(lora.model, lora.weight) for lora in request.detailer.loras] == [("<a.safetensors>", 0.5)]
    assert [(lora.model, lora.clip_weight) for lora in request.segments[0].loras] == [("<b>", 0.5), ("<c>", None)]


def test_a_wrong_field_is_found_before_any_file_is_sent() -> None:
    def refuse(path: str, purpose: str) -> str:
        raise AssertionError("a file was sent")

    with pytest.raises(Rejected, match=r"`detailer.denoise`: .*less than or equal to 1.*'3'|`detailer.denoise`"):
        addressed(job(detailer={"denoise": 3}), refuse, model)
    with pytest.raises(Rejected, match="`colour`"):
        addressed(job(colour="red"), refuse, model)


def test_a_job_without_input_or_without_segments_says_what_to_give() -> None:
    with pytest.raises(Rejected, match="has no input"):
        addressed({"segments": [{"name": "a", "mask": "a.png"}]}, media, model)
    with pytest.raises(Rejected, match="--mask"):
        addressed({"input": {"uri": "clip.mp4"}}, media, model)
