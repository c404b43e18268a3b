"""AnimateDiff-Evolved's nodes, and hooks."""

from __future__ import annotations

import pytest

from tests.unit.comfy.flows import add, flow, inputs, notes, only_problem, problems, read, segment

AD = "animatediff_lora"


def test_an_animatediff_workflow_becomes_a_job_with_its_motion_module_and_windows() -> None:
    done = read(flow(AD)).request()
    assert (done["type"], done["motion"]) == ("animatediff", "v3_sd15_mm")
    one = done["segments"][0]
    assert {name: one[name] for name in one if name.startswith("context")} == {
        "context_schedule": "standard_static",
        "context_length": 4,
        "context_overlap": 1,
        "context_fuse": "pyramid",
    }
    assert one["noise_mask_feather"] == 0


def test_uniform_windows_have_a_stride_and_looped_ones_may_be_closed() -> None:
    made = flow(AD)
    common = {"context_length": 16, "context_overlap": 4, "context_stride": 2, "fuse_method": "flat"}
    add(made, "5", "ADE_LoopedUniformContextOptions", **common, closed_loop=True, use_on_equal_length=False)
    one = segment(made)
    assert (one["context_schedule"], one["context_stride"], one["closed_loop"]) == ("looped_uniform", 2, True)
    add(made, "5", "ADE_StandardUniformContextOptions", **common)
    assert segment(made)["context_schedule"] == "standard_uniform"


def test_the_older_loader_is_read_as_well_with_motion_loras_one_behind_the_other() -> None:
    made = flow(AD)
    add(made, "30", "ADE_AnimateDiffLoRALoader", strength=0.5)
    inputs(made, "30")["name"] = "pan_left.safetensors"
    add(
        made,
        "31",
        "ADE_AnimateDiffLoRALoader",
        lora_name="pan_left.safetensors",
        strength=-1,
        prev_motion_lora=["30", 0],
    )
    module = {"model": ["2", 0], "model_name": "v3_sd15_mm.safetensors", "beta_schedule": "autoselect"}
    add(made, "6", "ADE_AnimateDiffLoaderGen1", **module, context_options=["5", 0], motion_lora=["31", 0])
    done = read(made).request()
    assert done["motion"] == "v3_sd15_mm"
    assert done["motion_loras"] == [{"model": "pan_left", "strength": -1.0}, {"model": "pan_left", "strength": 0.5}]


@pytest.mark.parametrize(
    ("node", "name", "value"),
    [
        ("6", "beta_schedule", "lcm"),
        ("6", "sample_settings", ["30", 0]),
        ("4", "ad_keyframes", ["30", 0]),
        ("4", "start_percent", 0.2),
        ("5", "view_opts", ["30", 0]),
        ("5", "guarantee_steps", 3),
        ("3", "ad_settings", ["30", 0]),
    ],
)
def test_what_the_farm_has_nothing_for_is_told_at_its_input(node: str, name: str, value: object) -> None:
    made = add(flow(AD), "30", "Something")
    inputs(made, node)[name] = value
    assert f"input `{name}`" in only_problem(made)


def test_without_context_options_the_difference_is_told() -> None:
    made = flow(AD)
    del inputs(made, "6")["context_options"]
    assert "all frames at once" in notes(made)


def test_without_a_motion_module_the_farms_model_must_have_one() -> None:
    made = flow(AD)
    inputs(made, "9")["model"] = ["2", 0]
    assert "motion" not in read(made).request()
    assert "must then have one of its own" in notes(made)


def test_a_motion_module_on_a_detailer_of_single_frames_cannot_be_carried() -> None:
    made = add(flow(), "30", "ADE_UseEvolvedSampling", model=["1", 0], beta_schedule="autoselect", m_models=["31", 0])
    add(made, "31", "ADE_ApplyAnimateDiffModelSimple", motion_model=["32", 0])
    add(made, "32", "ADE_LoadAnimateDiffModel", model_name="v3_sd15_mm.safetensors")
    inputs(made, "4")["model"] = ["30", 0]
    assert "node 30 (ADE_UseEvolvedSampling): A motion module lies on the model" in only_problem(made)


def test_hooks_are_carried_in_the_order_in_which_they_act() -> None:
    made = add(flow(), "30", "DenoiseSchedulerDetailerHookProvider", schedule_for_cycle="simple", target_denoise=0.2)
    noise = {"schedule_for_cycle": "from_start", "source": "GPU", "seed": 9, "start_strength": 2.0, "end_strength": 1.0}
    add(made, "31", "NoiseInjectionDetailerHookProvider", **noise)
    add(made, "32", "DetailerHookCombine", hook1=["31", 0], hook2=["30", 0])
    inputs(made, "7")["detailer_hook"] = ["32", 0]
    assert segment(made)["hooks"] == [
        {
            **{"kind": "noise_injection", "seed": 9, "start_strength": 2.0, "end_strength": 1.0},
            "schedule_for_cycle": "from_start",
        },
        {"kind": "denoise_schedule", "target_denoise": 0.2},
    ]
    assert "draws this noise on the CPU" in notes(made)


def test_the_unsampler_is_carried_with_the_detailers_own_model() -> None:
    made = flow()
    values = {"steps": 25, "start_end_at_step": 20, "end_end_at_step": 24, "cfg": 1.0, "sampler_name": "euler"}
    more = {"scheduler": "normal", "normalize": "enable", "schedule_for_cycle": "skip_start", "model": ["1", 0]}
    add(made, "9", "UnsamplerDetailerHookProvider", **values, **more)
    hook = segment(made)["hooks"][0]
    assert (hook["kind"], hook["normalize"], hook["start_end_at_step"]) == ("unsampler", True, 20)


def test_a_hook_that_the_farm_has_not_is_told_with_those_that_it_has() -> None:
    made = add(flow(), "9", "CoreMLDetailerHookProvider", mode="512x512")
    told = only_problem(made)
    assert "node 9 (CoreMLDetailerHookProvider)" in told
    assert "PreviewDetailerHookProvider" in told


def test_a_hook_that_cannot_be_is_told_at_its_node() -> None:
    made = flow()
    inputs(made, "9")["strength"] = 7
    assert "node 9 (VariationNoiseDetailerHookProvider)" in problems(made)[0]


def test_hooks_that_the_animatediff_node_never_calls_are_told_of() -> None:
    made = add(flow(AD), "30", "VariationNoiseDetailerHookProvider", seed=1, strength=0.1)
    inputs(made, "14")["detailer_hook"] = ["30", 0]
    assert "would never call this hook" in notes(made)
