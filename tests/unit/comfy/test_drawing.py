"""What a detailer draws with: checkpoint, LoRAs, VAE, prompts, refiner."""

from __future__ import annotations

import pytest

from farm.comfy.registry import Known, farm_name
from farm.comfy.translate import Asked, translate
from tests.unit.comfy.flows import KNOWN, add, flow, found, inputs, notes, only_problem, problems, read, segment


def test_the_checkpoint_is_found_by_its_files_name_whatever_folder_it_lies_in() -> None:
    made = flow()
    for written in ("SD1.5/dreamshaper_8.safetensors", "SD1.5\\dreamshaper_8.safetensors", "Dreamshaper-8.safetensors"):
        inputs(made, "1")["ckpt_name"] = written
        assert read(made).request()["model"] == "dreamshaper_8"


def test_a_file_is_mapped_to_another_model_by_its_full_or_its_last_name() -> None:
    for written in ("SD1.5/dreamshaper_8.safetensors", "dreamshaper_8.safetensors", "dreamshaper_8"):
        assert read(flow(), models={written: "xl_base"}).request()["model"] == "xl_base"


def test_a_mapping_to_what_the_farm_does_not_have_is_refused() -> None:
    told = only_problem(flow(), models={"dreamshaper_8.safetensors": "nothing"})
    assert "mapped to 'nothing', which is no model of this farm" in told
    assert "dreamshaper_8, xl_base, xl_refiner" in told


def test_a_missing_model_comes_with_the_command_that_adds_it() -> None:
    made = flow()
    inputs(made, "1")["ckpt_name"] = "My Models/epic (v2).safetensors"
    told = only_problem(made)
    assert "`farm model add epic-v2 epic (v2).safetensors`" in told
    assert "`--map 'My Models/epic (v2).safetensors'=NAME`" in told


def test_a_pickle_is_refused_with_the_reason() -> None:
    made = flow()
    inputs(made, "1")["ckpt_name"] = "epic.ckpt"
    assert "takes no pickles" in only_problem(made)


def test_names_of_files_become_names_that_the_farm_takes() -> None:
    assert farm_name("a/b c!.safetensors") == "b-c"
    assert farm_name("ü.safetensors") == "model"


def test_without_a_farm_every_file_is_taken_to_be_there() -> None:
    done = translate(flow("animatediff_lora"), Asked(frames="clip", find=found), None).request()
    assert (done["model"], done["motion"]) == ("dreamshaper_8", "v3_sd15_mm")


def test_loras_are_in_the_order_in_which_they_are_laid_with_a_weight_for_either_way() -> None:
    made = flow("animatediff_lora")
    add(made, "30", "LoraLoaderModelOnly", model=["2", 0], lora_name="x/sharp.safetensors", strength_model=0.5)
    inputs(made, "6")["model"] = ["30", 0]
    assert segment(made)["loras"] == [
        {"model": "style", "weight": 0.8, "clip_weight": 0.6},
        {"model": "sharp", "weight": 0.5, "clip_weight": 0.0},
    ]


def test_a_lora_that_lies_on_the_text_only_has_no_weight_over_the_network() -> None:
    made = flow("animatediff_lora")
    inputs(made, "6")["model"] = ["1", 0]
    assert segment(made)["loras"] == [{"model": "style", "weight": 0.0, "clip_weight": 0.6}]


def test_prompts_through_different_loras_cannot_be_carried() -> None:
    made = flow("animatediff_lora")
    inputs(made, "8")["clip"] = ["1", 1]
    assert "node 8 (CLIPTextEncode" in only_problem(made)


def test_a_text_encoder_of_another_checkpoint_cannot_be_carried() -> None:
    made = add(flow(), "30", "CheckpointLoaderSimple", ckpt_name="xl_base.safetensors")
    for node in ("2", "3"):
        inputs(made, node)["clip"] = ["30", 1]
    assert all("models are whole" in told for told in problems(made))


def test_the_layer_of_the_encoder_is_carried() -> None:
    made = add(flow(), "30", "CLIPSetLastLayer", clip=["1", 1], stop_at_clip_layer=-2)
    for node in ("2", "3"):
        inputs(made, node)["clip"] = ["30", 0]
    assert segment(made)["clip_skip"] == -2


def test_a_vae_of_its_own_is_carried_and_one_of_another_checkpoint_is_not() -> None:
    made = add(flow(), "30", "VAELoader", vae_name="mse.safetensors")
    inputs(made, "4")["vae"] = ["30", 0]
    assert read(made).request()["vae"] == "mse"
    add(made, "31", "CheckpointLoaderSimple", ckpt_name="xl_base.safetensors")
    inputs(made, "4")["vae"] = ["31", 2]
    assert "use VAELoader" in only_problem(made)


@pytest.mark.parametrize("loader", ["UNETLoader", "FreeU", "SomethingOfTomorrow"])
def test_what_changes_the_model_in_another_way_is_refused_with_its_name(loader: str) -> None:
    made = add(flow(), "30", loader)
    inputs(made, "4")["model"] = ["30", 0]
    assert f"node 30 ({loader})" in problems(made)[0]


def test_behind_a_node_that_cannot_be_carried_other_faults_are_found_too() -> None:
    made = add(flow(), "30", "FreeU", model=["31", 0])
    add(made, "31", "LoraLoaderModelOnly", model=["1", 0], lora_name="unknown.safetensors", strength_model=1.0)
    inputs(made, "4")["model"] = ["30", 0]
    told = problems(made)
    assert "node 30 (FreeU)" in told[0]
    assert "node 31 (LoraLoaderModelOnly), input `lora_name`" in told[1]


def test_differential_diffusion_is_what_the_noise_masks_feather_turns_on() -> None:
    made = add(flow(), "30", "DifferentialDiffusion", model=["1", 0])
    inputs(made, "4")["model"] = ["30", 0]
    assert segment(made)["noise_mask_feather"] == 20
    inputs(made, "7")["noise_mask_feather"] = 0
    assert "noise_mask_feather" in only_problem(made)


def test_texts_may_be_written_into_primitives_and_joined() -> None:
    made = add(flow(), "30", "StringConcatenate", string_a=["12", 0], string_b="of a cat", delimiter=", ")
    inputs(made, "2")["text"] = ["30", 0]
    assert segment(made)["prompt"] == "a sharp, detailed face, of a cat"


def test_a_value_that_a_node_computes_cannot_be_carried() -> None:
    made = add(flow(), "30", "MathExpression|pysssss", expression="20 / 2")
    inputs(made, "7")["steps"] = ["30", 0]
    told = only_problem(made)
    assert "input `steps`" in told
    assert "node 30 (MathExpression|pysssss)" in told


def test_a_prompt_with_a_mask_beside_the_plain_one_is_a_further_prompt() -> None:
    made = add(flow(), "30", "CLIPTextEncode", text="a hat", clip=["1", 1])
    add(made, "31", "LoadImageMask", image="hat.png", channel="green")
    add(
        made, "32", "ConditioningSetMask", conditioning=["30", 0], mask=["31", 0], strength=1.5, set_cond_area="default"
    )
    add(made, "33", "ConditioningCombine", conditioning_1=["2", 0], conditioning_2=["32", 0])
    inputs(made, "4")["positive"] = ["33", 0]
    one = segment(made)
    assert one["prompt"] == "a sharp, detailed face"
    assert one["conditionings"] == [
        {"prompt": "a hat", "strength": 1.5, "negative": False, "mask": "/files/hat.png|green"}
    ]
    inputs(made, "33")["conditioning_2"] = ["30", 0]
    assert "for the same pixels" in only_problem(made)


def test_a_refiner_is_carried_if_it_is_told_the_same() -> None:
    made = add(flow(), "30", "CheckpointLoaderSimple", ckpt_name="xl_refiner.safetensors")
    add(made, "31", "CLIPTextEncode", text="a sharp, detailed face", clip=["30", 1])
    add(made, "32", "CLIPTextEncode", text="blurry, watermark", clip=["30", 1])
    pipe = {"model": ["30", 0], "clip": ["30", 1], "vae": ["30", 2], "positive": ["31", 0], "negative": ["32", 0]}
    add(made, "33", "ToBasicPipe", **pipe)
    inputs(made, "7")["refiner_basic_pipe_opt"] = ["33", 0]
    assert read(made).request()["refiner"] == "xl_refiner"
    inputs(made, "31")["text"] = "another"
    assert "`positive`" in only_problem(made)


def test_pipes_are_taken_apart_and_edited_on_their_way() -> None:
    made = add(flow(), "30", "FromBasicPipe_v2", basic_pipe=["4", 0])
    add(made, "31", "CLIPTextEncode", text="another", clip=["30", 2])
    add(made, "32", "EditBasicPipe", basic_pipe=["30", 0], positive=["31", 0])
    add(made, "33", "Reroute", any=["32", 0])
    inputs(made, "7")["basic_pipe"] = ["33", 0]
    assert segment(made)["prompt"] == "another"
    assert read(made).request()["model"] == "dreamshaper_8"


def test_a_pipe_of_an_unknown_node_is_refused() -> None:
    made = add(flow(), "30", "MyPipe")
    inputs(made, "7")["basic_pipe"] = ["30", 0]
    assert "node 30 (MyPipe): It makes the pipe" in problems(made)[0]


def test_mapping_what_the_workflow_does_not_name_is_told() -> None:
    assert "does not name 'other.safetensors'" in notes(flow(), models={"other.safetensors": "xl_base"})


def test_a_model_of_another_kind_does_not_count() -> None:
    done = translate(flow(), Asked(frames="clip", find=found), [*KNOWN[3:], Known("dreamshaper_8", "lora")])
    assert "The farm has no model for" in str(done.problems[0])
