from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from farm.errors import OutOfMemory
from tests.unit.gpu.demo import FOLDER, demo_model
from workers.gpu import models
from workers.gpu.batch import Motion
from workers.gpu.faults import BadModel, memory_errors
from workers.gpu.models import FarmFile, ModelCache, load_model
from workers.gpu.networks import PerFrameNorm

CPU, FP32 = torch.device("cpu"), torch.float32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the embedded model that a test may spoil."""
    return Path(shutil.copytree(FOLDER, tmp_path / "model"))


def _change(path: Path, **values: object) -> None:
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(document | values))


def test_nothing_of_the_model_is_taken_for_granted() -> None:
    model = demo_model()
    assert model.latent_channels == 32
    assert model.codec.scaling == 4.5
    assert model.codec.factor == 8
    assert model.prediction == "epsilon"
    assert model.longest_context is None
    assert not model.takes_concat


def test_a_motion_module_lets_frames_see_each_other() -> None:
    text = torch.zeros((1, 77, 128))
    clip = torch.randn((1, 4, 32, 5, 7), generator=torch.Generator().manual_seed(0))
    changed = clip.clone()
    changed[:, 3] += 1
    with torch.inference_mode():
        for motion in (False, True):
            network = demo_model(motion).network
            seen = not torch.allclose(network(clip, 500, text)[:, 0], network(changed, 500, text)[:, 0], atol=1e-4)
            assert seen == motion
    assert demo_model(motion=True).longest_context == 32


def test_groups_are_kept_apart_by_both_networks() -> None:
    texts = torch.stack([demo_model().text.encode(prompt)[0] for prompt in ("blurry", "sharp")])
    x = torch.randn((2, 3, 32, 8, 8), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for motion in (False, True):
            network = demo_model(motion).network
            both = network(x, 300, texts)
            for group in range(2):
                alone = network(x[group : group + 1], 300, texts[group : group + 1])
                assert torch.allclose(both[group : group + 1], alone, atol=1e-4)


def test_the_norm_per_frame_norms_each_frame_by_itself() -> None:
    norm = torch.nn.GroupNorm(2, 4)
    clip = torch.randn((2, 4, 3, 5, 6))
    expected = torch.stack([norm(clip[:, :, frame]) for frame in range(3)], dim=2)
    assert torch.allclose(PerFrameNorm(norm)(clip), expected, atol=1e-6)


def test_a_motion_module_of_the_original_format_gets_its_norm_and_its_betas(folder: Path) -> None:
    (folder / "farm.json").unlink()
    original = load_model(folder, True, CPU, FP32)
    assert original.table.largest == pytest.approx(25.15, abs=0.01)
    assert load_model(folder, False, CPU, FP32).table.largest == pytest.approx(14.61, abs=0.01)
    assert demo_model(motion=True).table.largest == pytest.approx(14.61, abs=0.01)
    text = torch.zeros((1, 77, 128))
    clip = (
        torch.randn((1, 4, 32, 8, 8), generator=torch.Generator().manual_seed(0))
        * torch.arange(1, 5)[:, None, None, None]
    )
    with torch.inference_mode():
        assert not torch.allclose(
            original.network(clip, 500, text), demo_model(motion=True).network(clip, 500, text), atol=1e-3
        )


def test_farm_json_may_be_missing_or_say_more() -> None:
    assert FarmFile.model_validate({}).motion_norm is None
    about = FarmFile.model_validate(json.loads((FOLDER / "farm.json").read_text()))
    assert about.motion_norm == "window"
    assert about.recommended["denoise"] == 0.25


def test_v_prediction_is_read_from_the_scheduler(folder: Path) -> None:
    _change(folder / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    assert load_model(folder, False, CPU, FP32).prediction == "v_prediction"


def test_half_precision_files_with_their_hubs_name_are_found(folder: Path) -> None:
    unet = folder / "unet"
    (unet / "diffusion_pytorch_model.safetensors").rename(unet / "diffusion_pytorch_model.fp16.safetensors")
    assert load_model(folder, False, CPU, FP32).latent_channels == 32


def test_a_missing_part_is_named(folder: Path) -> None:
    shutil.rmtree(folder / "vae")
    with pytest.raises(BadModel, match="no folder 'vae'"):
        ModelCache(CPU, FP32).get(folder, False)


def test_weights_that_are_not_safetensors_are_not_opened(folder: Path) -> None:
    unet = folder / "unet"
    (unet / "diffusion_pytorch_model.safetensors").rename(unet / "diffusion_pytorch_model.bin")
    with pytest.raises(BadModel, match="cannot be read"):
        ModelCache(CPU, FP32).get(folder, False)


def test_broken_weights_are_refused(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00not json")
    with pytest.raises(BadModel):
        ModelCache(CPU, FP32).get(folder, False)


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("scheduler/scheduler_config.json", {"prediction_type": "sample"}),
        ("scheduler/scheduler_config.json", {"beta_schedule": "cosine"}),
        ("farm.json", {"motion_norm": "global"}),
    ],
    ids=str,
)
def test_a_file_that_asks_for_what_there_is_not_is_refused(file: str, values: dict[str, object], folder: Path) -> None:
    _change(folder / file, **values)
    with pytest.raises(BadModel):
        ModelCache(CPU, FP32).get(folder, False)


def test_models_stay_in_memory_until_others_need_the_room(folder: Path) -> None:
    size = ModelCache(CPU, FP32).get(FOLDER, False).size
    assert size > sum(file.stat().st_size for file in (FOLDER / "unet").glob("*.safetensors"))
    # Room for two models, one of them with its motion module, and for no third.
    cache = ModelCache(CPU, FP32, room=2 * size + size // 2)
    first = cache.get(FOLDER, False)
    assert cache.get(FOLDER, False) is first
    motion = cache.get(FOLDER, True)
    assert cache.get(FOLDER, False) is first
    cache.get(folder, False)
    assert cache.get(FOLDER, False) is first
    assert cache.get(FOLDER, True) is not motion


def test_a_folder_that_changes_is_read_again(folder: Path) -> None:
    cache = ModelCache(CPU, FP32)
    first = cache.get(folder, False)
    _change(folder / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    assert cache.get(folder, False) is not first


def test_a_model_that_does_not_fit_beside_others_takes_their_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ModelCache(CPU, FP32)
    first = cache.get(FOLDER, False)
    tries: list[bool | Motion] = []
    real = models.load_model

    def scarce(
        folder: Path,
        motion: bool | Motion,
        device: torch.device,
        dtype: torch.dtype,
        *rest: Any,  # noqa: ANN401  whatever follows
    ) -> models.Model:
        tries.append(motion)
        if len(tries) == 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return real(folder, motion, device, dtype, *rest)

    monkeypatch.setattr(models, "load_model", scarce)
    cache.get(folder, False)
    assert tries == [False, False]
    assert cache.get(FOLDER, False) is not first


def test_only_memory_errors_become_out_of_memory() -> None:
    with pytest.raises(OutOfMemory, match="too small to bake"), memory_errors("bake"):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="shapes"), memory_errors("bake"):
        raise RuntimeError("shapes do not match")
