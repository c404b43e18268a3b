from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.gpu.tiny_motion import (
    TEXT_WIDTH,
    UNET,
    lora_tensors,
    motion_file,
    original_layout,
    same_weights,
    saved,
    tiny_adapter,
    tiny_folder,
    tiny_unet,
)
from workers.gpu.batch import Motion
from workers.gpu.faults import BadModel
from workers.gpu.models import ModelCache, load_model
from workers.gpu.motion import MotionModule, Version, adapter_of, read_motion
from workers.gpu.motion_unet import moving_unet
from workers.gpu.sigmas import SigmaTable

CPU, FP32 = torch.device("cpu"), torch.float32
TEXT = torch.randn((1, 77, TEXT_WIDTH), generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model") / "tiny", tiny_unet())


def _clip(frames: int = 4) -> Tensor:
    """Frames of unlike contrast, so that it shows what a norm goes over."""
    noise = torch.randn((1, frames, 32, 8, 8), generator=torch.Generator().manual_seed(3))
    return noise * torch.linspace(0.3, 2, frames)[None, :, None, None, None]


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    ("length", "middle", "channels", "version"),
    [
        (24, False, (32, 64), "v1"),
        (32, True, (32, 64), "v2"),
        (32, False, (32, 64), "v3"),
        (32, False, (32, 32, 64), "sdxl"),
    ],
)
def test_a_file_of_the_original_layout_is_the_adapter_that_it_was_made_of(
    length: int, middle: bool, channels: tuple[int, ...], version: str, prefix: str, tmp_path: Path
) -> None:
    adapter = tiny_adapter(length=length, middle=middle, channels=channels)
    found = read_motion(motion_file(tmp_path / "mm.safetensors", adapter, prefix), FP32, sdxl=version == "sdxl")
    assert same_weights(found.adapter, adapter)
    assert (found.version, found.longest) == (version, length)


def test_a_motion_module_may_be_a_file_a_folder_with_one_or_an_adapters_folder(tmp_path: Path) -> None:
    adapter = tiny_adapter()
    file = motion_file(tmp_path / "one" / "v3_sd15_mm.safetensors", adapter)
    plain = saved(tmp_path / "plain" / "weights.safetensors", adapter.state_dict())
    adapter.save_pretrained(tmp_path / "folder")
    for place in (file, file.parent, plain, tmp_path / "folder"):
        assert same_weights(read_motion(place, FP32).adapter, adapter)


def test_positions_are_computed_not_read_and_must_be_the_usual_ones() -> None:
    tensors = original_layout(tiny_adapter())
    rounded = {key: value.half() for key, value in tensors.items()}
    exact = tiny_adapter().state_dict()
    name = next(key for key in exact if key.endswith("pos_embed.pe"))
    assert torch.equal(adapter_of(rounded).state_dict()[name], exact[name])
    stretched = {key: value * 1.2 if key.endswith("pos_encoder.pe") else value for key, value in tensors.items()}
    with pytest.raises(BadModel, match="counts frames in its own way"):
        adapter_of(stretched)


def _without(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(sorted(tensors.items())[1:])


def _cut(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    key = next(key for key in tensors if key.endswith("to_q.weight"))
    return tensors | {key: tensors[key][:-1]}


REFUSED: list[tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = [
    (_without, "lacks"),
    (_cut, "has another size at"),
    (lambda tensors: tensors | {"conv_in.weight": torch.zeros(1)}, "has layers of no motion module"),
    (lambda _: {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(1)}, "has no motion layers"),
    (lambda _: {"down_blocks.0.temporal_attentions.0.norm.weight": torch.zeros(8)}, "HotshotXL"),
    (lambda _: {}, "has no motion layers"),
]


@pytest.mark.parametrize(("spoil", "fault"), REFUSED, ids=[fault for _, fault in REFUSED])
def test_a_file_that_is_no_motion_module_is_refused(
    spoil: Callable[[dict[str, Tensor]], dict[str, Tensor]], fault: str
) -> None:
    with pytest.raises(BadModel, match=fault):
        adapter_of(spoil(original_layout(tiny_adapter())))


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["mm.ckpt"], "is a pickle"),
        ([], "no .safetensors file"),
        (["a.safetensors", "b.safetensors"], "2 .safetensors"),
    ],
)
def test_a_folder_that_is_no_motion_module_is_refused(names: list[str], fault: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadModel, match=fault):
        read_motion(tmp_path, FP32)


def test_a_pickle_given_by_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mm_sd_v15.ckpt"
    path.write_bytes(b"")
    with pytest.raises(BadModel, match="is a pickle"):
        read_motion(path, FP32)


@pytest.mark.parametrize(
    ("version", "largest"), [("v1", 25.15), ("v2", 25.15), ("v3", 25.15), ("sdxl", 65.93)], ids=str
)
def test_each_version_has_the_noise_levels_that_it_was_trained_with(version: Version, largest: float) -> None:
    betas = MotionModule(None, version).betas
    assert SigmaTable(betas).largest == pytest.approx(largest, abs=0.01)


def _group_norms(unet: torch.nn.Module) -> list[str]:
    return [name for name, module in unet.named_modules() if isinstance(module, torch.nn.GroupNorm)]


def _made(folder: Path, module: Path, norm: Any = None) -> Any:  # noqa: ANN401  diffusers is untyped
    unet = UNET.from_pretrained(folder / "unet")
    return moving_unet(unet, folder, Motion(module), norm, FP32)


def test_the_norm_at_the_entry_of_later_modules_is_per_frame_and_no_other_norm_is_touched(
    folder: Path, tmp_path: Path
) -> None:
    made = _made(folder, motion_file(tmp_path / "mm.safetensors", tiny_adapter()))
    assert made.frames_of is None
    wrapped = [name for name in _group_norms(made.unet) if name.endswith(".norm.norm")]
    assert len(wrapped) == sum(".motion_modules." in name for name in _group_norms(made.unet)) == 6


def test_with_the_first_version_every_norm_goes_over_the_window(folder: Path, tmp_path: Path) -> None:
    module = motion_file(tmp_path / "mm.safetensors", tiny_adapter(length=24))
    made = _made(folder, module)
    frames = 4
    x = _clip(frames).transpose(1, 2)
    with torch.inference_mode():
        made.frames_of.count = frames
        ours = made.unet(x, torch.tensor(300), encoder_hidden_states=TEXT.repeat(frames, 1, 1)).sample
        theirs = _plain_first_version(folder, module, x)
    assert torch.allclose(ours, theirs, atol=1e-5)


def _plain_first_version(folder: Path, module: Path, x: Tensor) -> Tensor:
    """The rule said otherwise: torch's group norm itself sees all frames as one picture's columns."""
    adapter = read_motion(module, FP32).adapter
    from diffusers import UNetMotionModel

    kind: Any = UNetMotionModel
    unet = kind.from_unet2d(UNET.from_pretrained(folder / "unet"), adapter).eval()
    frames = x.shape[2]
    plain = torch.nn.GroupNorm.forward

    def over_frames(self: torch.nn.GroupNorm, flat: Tensor) -> Tensor:
        if flat.ndim == 5:
            return plain(self, flat)
        wide = torch.cat(list(flat), dim=1)[None]
        return torch.stack(torch.split(plain(self, wide)[0], flat.shape[2], dim=1))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.GroupNorm, "forward", over_frames)
        found: Tensor = unet(x, torch.tensor(300), encoder_hidden_states=TEXT.repeat(frames, 1, 1)).sample
    return found


def test_versions_paint_differently(folder: Path, tmp_path: Path) -> None:
    modules = [motion_file(tmp_path / f"{n}.safetensors", tiny_adapter(length=n)) for n in (24, 32)]
    clip = _clip()
    with torch.inference_mode():
        first, later = (load_model(folder, Motion(module), CPU, FP32).network(clip, 300, TEXT) for module in modules)
    assert first.shape == later.shape == clip.shape
    assert not torch.allclose(first, later, atol=1e-3)


def test_a_window_of_another_length_is_normed_by_itself(folder: Path, tmp_path: Path) -> None:
    module = motion_file(tmp_path / "mm.safetensors", tiny_adapter(length=24))
    network = load_model(folder, Motion(module), CPU, FP32).network
    clip = _clip(6)
    with torch.inference_mode():
        both = network(torch.cat([clip[:, :3], clip[:, 3:]]), 300, TEXT.repeat(2, 1, 1))
        alone = [network(part, 300, TEXT) for part in (clip[:, :3], clip[:, 3:])]
    assert torch.allclose(both, torch.cat(alone), atol=1e-4)


def test_a_module_of_the_models_own_folder_and_the_same_given_apart_paint_alike(folder: Path, tmp_path: Path) -> None:
    adapter = tiny_adapter(length=24)
    own = tiny_folder(tmp_path / "own", tiny_unet())
    adapter.save_pretrained(own / "motion_adapter")
    apart = motion_file(tmp_path / "mm.safetensors", adapter)
    with torch.inference_mode():
        ours = load_model(own, True, CPU, FP32).network(_clip(), 300, TEXT)
        theirs = load_model(folder, Motion(apart), CPU, FP32).network(_clip(), 300, TEXT)
    assert torch.equal(ours, theirs)


def test_nothing_of_an_sdxl_unet_is_left_out(tmp_path: Path) -> None:
    channels = (32, 32, 64)
    unet = tiny_unet(
        channels=channels,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=8 * 6 + 16,
    )
    module = motion_file(tmp_path / "mm.safetensors", tiny_adapter(channels=channels))
    made = moving_unet(unet, tmp_path, Motion(module), None, FP32)
    assert made.betas is not None
    assert SigmaTable(made.betas).largest == pytest.approx(65.93, abs=0.01)
    ours = {key: value for key, value in made.unet.state_dict().items() if ".motion_modules." not in key}
    assert ours.keys() == unet.state_dict().keys()
    assert all(torch.equal(ours[key], value) for key, value in unet.state_dict().items())


def test_a_motion_module_for_another_kind_of_unet_is_refused(folder: Path, tmp_path: Path) -> None:
    module = motion_file(tmp_path / "mm.safetensors", tiny_adapter(channels=(32, 32, 64)))
    with pytest.raises(BadModel, match=r"for a UNet with blocks of \(32, 32, 64\) channels, this one has \(32, 64\)"):
        ModelCache(CPU, FP32).get(folder, Motion(module))


def test_models_are_kept_apart_by_their_motion_modules_and_the_strengths_of_their_loras(
    folder: Path, tmp_path: Path
) -> None:
    module = motion_file(tmp_path / "mm.safetensors", tiny_adapter())
    lora = saved(tmp_path / "pan" / "pan.safetensors", lora_tensors(tiny_adapter()))
    cache = ModelCache(CPU, FP32)
    motions = [Motion(module), Motion(module, ((lora, 0.5),)), Motion(module, ((lora.parent, 1.0),))]
    models = [cache.get(folder, motion) for motion in motions]
    assert [cache.get(folder, motion) for motion in motions] == models
    clip = _clip()
    with torch.inference_mode():
        seen = [model.network(clip, 300, TEXT) for model in models]
    assert not any(torch.allclose(seen[i], seen[j], atol=1e-4) for i, j in ((0, 1), (0, 2), (1, 2)))
