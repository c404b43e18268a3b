"""`python -m tests.shows.everything_at_once`: ControlNet, LoRA, refiner, hook and wildcard in one job, on real workers.

The networks are of the real classes, small and of random weights, and are added with `farm model add`. The same job is
run without each of the five: other keys and other frames. `farm render` must give the job's bytes.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from farm.adapters.pictures import encode_png
from farm.domain.job import JobRequest
from farm.domain.plan import Plan
from tests.e2e import shots
from tests.e2e.farm_under_test import FarmUnderTest
from tests.e2e.reference import differing
from tests.shows.stage import say, stage
from tests.unit.gpu.families import tiny
from tests.unit.gpu.loras import BLOCK, factors, kohya, write_lora
from tests.unit.gpu.node_at_work import small_model
from tests.unit.gpu.tiny import control_net

FRAMES, CHUNK, SEGMENTS = 4, 2, 2
INGREDIENTS = ("controlnets", "loras", "refiner", "hooks", "wildcard")
OUTPUTS = ("video", "cropped", "cropped_refined", "cropped_enhanced_alpha", "cnet")
SLOW: dict[str, object] = {"engine": "diffusers", "device": "cpu", "lease_ttl_s": 60, "heartbeat_s": 5}
"""A real engine on a busy machine: its first task loads torch."""
PATIENCE_S = 900.0


@dataclass(frozen=True)
class Files:
    """What a person has on disk."""

    clip: Path
    mask: Path
    models: Mapping[str, Path]
    """By the name that the farm is to know them by."""


def files(folder: Path) -> Files:
    """A clip of four pictures, a mask with two things in it, and four kinds of model."""
    folder.mkdir()
    clip = folder / "clip"
    clip.mkdir()
    for number in range(FRAMES):
        (clip / f"{number + 1:04d}.png").write_bytes(encode_png(shots.picture(number)))
    mask = folder / "mask.png"
    mask.write_bytes(encode_png(shots.mask("left", 0) | shots.mask("right", 0)))
    base = small_model(folder / "base")
    refiner = small_model(folder / "refiner")
    _other_weights(refiner / "unet" / "diffusion_pytorch_model.safetensors")
    down, up = factors(64, 64)
    lora = write_lora(folder / "lora", kohya(f"lora_unet.{BLOCK}.attn2.to_v", down, 0.3 * up))
    net = folder / "net"
    control_net(unet=tiny("sd1").unet).save_pretrained(net)
    models = {"base": base, "finish": refiner, "style": lora / "weights.safetensors", "edges": net}
    return Files(clip, mask, models)


def _other_weights(path: Path) -> None:
    tensors = load_file(path)
    tensors["conv_out.weight"] = -torch.flip(tensors["conv_out.weight"], dims=(0,)).contiguous()
    save_file(tensors, path)


def document(clip: str, mask: str, models: Mapping[str, str], without: str = "") -> dict[str, Any]:
    """A job with everything, or with everything but one."""
    segment: dict[str, Any] = {
        "name": "things",
        "mask": mask,
        "controlnets": [{"model": models["edges"], "preprocessor": "canny", "strength": 0.9}],
        "wildcard": "[ASC] a {fox|bear} [SEP:5] a hat",
    }
    detailer: dict[str, Any] = {
        **{"steps": 4, "cfg": 2, "denoise": 0.6, "prompt": "a thing", "negative": "blurry", "refiner_ratio": 0.5},
        **{"guide_size": 64, "max_size": 64, "crop_factor": 1.4},
        "loras": [{"model": models["style"], "weight": 0.8}],
        "hooks": [{"kind": "variation_noise", "variation_seed": 3, "variation_strength": 0.4}],
    }
    job: dict[str, Any] = {
        **{"input": {"uri": clip}, "model": models["base"], "refiner": models["finish"]},
        **{"chunk": CHUNK, "outputs": OUTPUTS},
    }
    for part in (segment, detailer, job):
        part.pop(without, None)
    return {**job, "segments": [segment], "detailer": detailer}


def add_models(farm: FarmUnderTest, url: str, models: Mapping[str, Path]) -> int:
    """Through the command line, as a person would; the number of refusals."""
    wrong = 0
    for name, path in models.items():
        answer = farm.command("model", "add", name, str(path), url=url)
        wrong += answer.returncode != 0
        say(f"farm model add {name} {path.name}: {answer.stdout.strip()[:12] or answer.stderr.strip()}")
    return wrong


def task_keys(farm: FarmUnderTest, job: str) -> set[str]:
    """Content keys of a job's detail tasks."""
    plans = [Plan.model_validate_json(farm.blobs.get(name)) for name in farm.names(f"jobs/{job}/plans/")]
    return {task.key for plan in plans for task in plan.tasks}


def stored(farm: FarmUnderTest, job: str) -> int:
    """Say what S3 has of a job; 0 if nothing is missing."""
    prefix = f"jobs/{job}/"
    names = sorted(name.removeprefix(prefix) for name in farm.names(prefix))
    counts = Counter(name.split("/")[0] if "/" in name else name for name in names)
    crops = FRAMES * SEGMENTS
    expected = {"frames": FRAMES, **dict.fromkeys(OUTPUTS[1:], crops), "video.mp4": 1, "manifest.json": 1}
    say(f"in S3 under {prefix}:")
    for top, count in sorted(counts.items()):
        first = next(name for name in names if name.split("/")[0] == top)
        say(f"  {count:3}  {first}{' …' if count > 1 else ''}")
    missing = {top: count for top, count in expected.items() if counts[top] != count}
    if missing:
        say(f"  NOT AS IT SHOULD BE: there must be {missing}")
    return len(missing)


def rendered(farm: FarmUnderTest, folder: Path, given: Files, frames: Mapping[str, bytes]) -> int:
    """`farm render` on the same files, by path; 0 if it gives the same bytes."""
    folder.mkdir()
    paths = {name: str(path) for name, path in given.models.items()}
    (folder / "job.json").write_text(json.dumps(document(str(given.clip), str(given.mask), paths)))
    started = time.monotonic()
    out = folder / "out"
    places = "--out", str(out), "--store", str(folder / "store")
    answer = farm.command("render", "--job", str(folder / "job.json"), *places, timeout_s=PATIENCE_S)
    if answer.returncode:
        say(f"farm render: {answer.stderr.strip()}")
        return 1
    made = {path.name: path.read_bytes() for path in (out / "frames").iterdir()}
    other = differing(dict(frames), made)
    seconds = time.monotonic() - started
    say(f"farm render ({seconds:.0f} s): {'OTHER BYTES in ' + ', '.join(other) if other else 'same bytes'}")
    return len(other)


def main() -> int:
    """Print the story; 0 if all of it is as it should be."""
    torch.set_num_threads(1)
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()
    with stage() as here, here.farm(**SLOW) as farm:
        given = files(here.new("files"))
        wrong = add_models(farm, farm.api().http.url, given.models)
        clip, mask = farm.admit(given.clip), farm.admit(given.mask)
        names = {name: name for name in given.models}
        farm.workers(2)
        started = time.monotonic()
        jobs = {
            without: farm.submit(JobRequest.model_validate(document(clip, mask, names, without)))
            for without in ("", *INGREDIENTS)
        }
        for job in jobs.values():
            farm.wait(job, timeout_s=PATIENCE_S)
        say(f"{len(jobs)} jobs of {FRAMES} frames on 2 workers: {time.monotonic() - started:.0f} s")
        wrong += stored(farm, jobs[""])
        full, keys = farm.frames(jobs[""]), task_keys(farm, jobs[""])
        for without in INGREDIENTS:
            shared = len(keys & task_keys(farm, jobs[without]))
            other = len(differing(full, farm.frames(jobs[without])))
            good = not shared and other == FRAMES
            wrong += not good
            say(
                f"without {without:12} {shared} of {len(keys)} keys are the same, {other} of {FRAMES} frames differ"
                f"{'' if good else '  NOT AS IT SHOULD BE'}"
            )
        wrong += rendered(farm, here.new("render"), given, full)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
