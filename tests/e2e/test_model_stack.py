"""A job with a checkpoint in one file, a LoRA, an embedding and a VAE, from the names in it to pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from farm.adapters.model_registry import Added, add_model
from farm.adapters.pictures import decode, encode_png
from farm.domain.job import JobRequest
from farm.domain.state import JobState, TaskState
from farm.errors import Rejected
from farm.ports import JobStatus, TaskFilter
from farm.settings import Settings
from tests.e2e.reference import final_frames
from tests.unit.gpu.families import TOKENIZER, tiny
from tests.unit.gpu.loras import BLOCK, factors, kohya
from workers.local_render import LocalFarm

SIZE = 64
"""Pixels of a frame's side."""


@dataclass(frozen=True)
class Shop:
    """A farm with tiny models of random weights, and a frame with its mask."""

    farm: LocalFarm
    clip: str
    mask: str


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    top = tmp_path_factory.mktemp("farm")
    local = LocalFarm(top / "store", Settings.read(device="cpu", data_dir=top))
    single = tiny("sd1").single(top / "sd1") / "weights.safetensors"
    add_model("sd1", single, local.blobs, Added(tokenizer=TOKENIZER))
    tiny("sd1").vae.save_pretrained(top / "vae")
    add_model("vae", top / "vae", local.blobs)
    down, up = factors(64, 64)
    wide, _ = factors(64, 128)
    weights = {
        "lora": kohya(f"lora_unet.{BLOCK}.attn2.to_k", down, up),
        "sdxl-lora": kohya(f"lora_unet.{BLOCK}.attn2.to_k", wide, up),
        "style": {"emb_params": torch.ones(2, 64)},
        "poisoned": kohya(f"lora_unet.{BLOCK}.attn1.to_k", wide, up),
    }
    for name, tensors in weights.items():
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, top / f"{name}.safetensors")
        add_model(name, top / f"{name}.safetensors", local.blobs)
    for name, pixels in {"clip": _picture(), "mask": _mask()}.items():
        (top / f"{name}.0001.png").write_bytes(encode_png(pixels))
    yield Shop(local, local.admit(top / "clip.0001.png"), local.admit(top / "mask.0001.png"))
    local.close()


def _picture() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def _mask() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[16:48, 16:48] = 255
    return mask


def _request(shop: Shop, **changes: object) -> JobRequest:
    detailer = {"steps": 2, "cfg": 8, "guide_size": 64, "guide_size_for": False, "prompt": "a fox", "denoise": 0.9}
    more = changes.pop("detailer", {})
    assert isinstance(more, dict)
    document = {
        "input": {"uri": shop.clip},
        "segments": [{"name": "face", "mask": shop.mask}],
        "model": "sd1",
        "outputs": [],
        "detailer": {**detailer, **more},
        **changes,
    }
    return JobRequest.model_validate(document)


def _run(shop: Shop, **changes: object) -> tuple[JobStatus, bytes]:
    status = shop.farm.run(_request(shop, **changes))
    frames = final_frames(shop.farm.blobs, status.facts.id)
    return status, decode(next(iter(frames.values()))).tobytes() if frames else b""


STACK: dict[str, dict[str, object]] = {
    "plain": {},
    "lora": {"detailer": {"loras": ["lora:0.8"]}},
    "vae": {"vae": "vae"},
    "embedding": {"detailer": {"prompt": "a embedding:style fox"}},
    "layer": {"detailer": {"clip_skip": -2}},
    "all": {
        "vae": "vae",
        "embeddings": {"neg/Style.pt": "style"},
        "detailer": {"loras": ["lora:0.8"], "clip_skip": -2, "negative": "(embedding:neg/Style.pt:1.2)"},
    },
}


def test_all_that_lies_over_a_model_reaches_the_pixels_and_the_keys(shop: Shop) -> None:
    painted = {}
    for name, changes in STACK.items():
        status, painted[name] = _run(shop, **changes)
        assert status.state is JobState.COMPLETED, name
        assert status.cache_misses == 1, name
    # The VAE is the model's own: the same pixels under another key.
    assert painted.pop("vae") == painted["plain"]
    assert len(set(painted.values())) == len(painted)
    status, again = _run(shop, **STACK["all"])
    assert status.cache_misses == 0
    assert again == painted["all"]


def test_what_cannot_fit_is_refused_at_submit(shop: Shop) -> None:
    with pytest.raises(Rejected, match=r"LoRA 'sdxl-lora' was made for .*128.*; the model 'sd1' is .*64"):
        shop.farm.run(_request(shop, detailer={"loras": ["sdxl-lora"]}))
    with pytest.raises(Rejected, match="There is no LoRA 'detail' on this farm; it has: lora, poisoned, sdxl-lora"):
        shop.farm.run(_request(shop, detailer={"loras": ["detail"]}))


def test_what_only_the_worker_can_see_fails_the_task_with_the_reason(shop: Shop) -> None:
    status, _ = _run(shop, detailer={"loras": ["poisoned"]}, max_attempts=1)
    assert status.state is JobState.FAILED
    failed = shop.farm.farm.tasks(status.facts.id, TaskFilter(states=(TaskState.FAILED,)))
    assert any("'poisoned' was made for another kind of model" in task.error for task in failed)
