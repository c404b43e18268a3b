from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.unit.gpu.tiny_motion import lora_tensors, same_weights, tiny_adapter
from workers.gpu.faults import BadModel
from workers.gpu.motion_lora import apply_motion_lora


@pytest.mark.parametrize("form", ["original", "diffusers", "peft"])
def test_a_motion_lora_adds_its_share_to_the_weights(form: str) -> None:
    plain, changed = tiny_adapter(), tiny_adapter()
    tensors = lora_tensors(plain, form=form)
    apply_motion_lora(changed, tensors, 0.5)
    key = "down_blocks.0.motion_modules.0.transformer_blocks.0.attn1.to_out.0.weight"
    name = next(name for name in tensors if "down_blocks.0" in name and "to_out" in name and _first(name))
    down, up = tensors[name], tensors[name.replace("down.w", "up.w").replace("lora_A", "lora_B")]
    before, after = plain.state_dict(), changed.state_dict()
    assert torch.allclose(after[key], before[key] + 0.5 * up @ down, atol=1e-6)
    touched = {name for name in before if not torch.equal(before[name], after[name])}
    assert touched == {name for name in before if ".to_" in name and name.endswith("weight")}


def _first(name: str) -> bool:
    return "attn1" in name or "attention_blocks.0" in name


def test_the_three_spellings_of_a_motion_lora_do_thesame_weights() -> None:
    made = []
    for form in ("original", "diffusers", "peft"):
        adapter = tiny_adapter()
        apply_motion_lora(adapter, lora_tensors(adapter, form=form), -0.7)
        made.append(adapter)
    assert same_weights(made[0], made[1])
    assert same_weights(made[0], made[2])


def test_an_alpha_scales_a_motion_lora_by_its_rank() -> None:
    tensors = lora_tensors(tiny_adapter(), rank=4, form="diffusers")
    starts = {name.removesuffix(".down.weight") for name in tensors if name.endswith(".down.weight")}
    alphas = {f"{start}.alpha".replace(".processor", ""): torch.tensor(2.0) for start in starts}
    ours, theirs = tiny_adapter(), tiny_adapter()
    apply_motion_lora(ours, tensors | alphas, 1.0)
    apply_motion_lora(theirs, tensors, 0.5)
    assert all(torch.allclose(ours.state_dict()[key], value) for key, value in theirs.state_dict().items())


@pytest.mark.parametrize(
    ("tensors", "fault"),
    [
        (lora_tensors(tiny_adapter(channels=(32, 32, 64))), "which the motion module does not have|of size"),
        ({"unet.down_blocks.0.attentions.0.attn1.to_q.lora_A.weight": torch.zeros(1, 1)}, "no part of a motion module"),
        ({"down_blocks.0.motion_modules.0.norm.weight": torch.zeros(1)}, "no part of one"),
        (dict(list(lora_tensors(tiny_adapter()).items())[1:]), "one half only"),
        ({}, "is empty"),
    ],
    ids=["other size", "of the unet", "no lora", "half", "empty"],
)
def test_a_file_that_is_no_motion_lora_for_this_module_is_refused(tensors: dict[str, Tensor], fault: str) -> None:
    with pytest.raises(BadModel, match=fault):
        apply_motion_lora(tiny_adapter(), tensors, 1.0)
