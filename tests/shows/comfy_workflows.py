"""`python -m tests.shows.comfy_workflows`: ComfyUI's workflows on a real farm, and two that cannot be carried.

The farm has its real servers and a worker with small networks of the real classes; all is done by the command line, as
a person would do it. The clip of the face detailer is a portrait that moves.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers.utils import logging as diffusers_logging
from PIL import Image
from transformers.utils import logging as transformers_logging

from farm.adapters.pictures import decode, encode_png
from tests.e2e import shots
from tests.e2e.farm_under_test import FarmUnderTest
from tests.shows.stage import say, stage
from tests.unit.gpu.loras import BLOCK, factors, kohya, write_lora
from tests.unit.gpu.tiny_motion import CHANNELS, TEXT_WIDTH, motion_file, tiny_adapter, tiny_folder, tiny_unet

WORKFLOWS = Path(__file__).parent / "comfy"
PORTRAIT = Path(__file__).resolve().parents[1] / "faces" / "astronaut.jpg"
FRAMES = 6
SLOW: dict[str, object] = {"engine": "diffusers", "device": "cpu", "lease_ttl_s": 60, "heartbeat_s": 5}
"""A real engine on a busy machine: its first task loads torch."""
PATIENCE_S = 900.0


@dataclass(frozen=True)
class Try:
    """A workflow, and how it is given to the farm."""

    workflow: str
    clip: str
    options: tuple[str, ...] = ()
    carried: bool = True


TRIES = (
    Try("mask_detailer", "clip"),
    Try("animatediff_lora", "clip"),
    Try("face_detailer", "portrait", ("--map", "bbox/face_yolov8m.pt=face")),
    Try("cannot_model_patch", "clip", carried=False),
    Try("cannot_controlnet", "clip", carried=False),
)


def files(folder: Path) -> dict[str, Path]:
    """What a person has on disk: workflows, what they name beside them, and models by their files' names."""
    shot = shots.make_shot(folder / "shot", FRAMES)
    shutil.copytree(WORKFLOWS, folder / "flows")
    shutil.copytree(shot.clip, folder / "flows" / "clip")
    shutil.copytree(shot.masks["left"], folder / "flows" / "masks")
    (folder / "flows" / "clipspace").mkdir()
    (folder / "flows" / "clipspace" / "face.png").write_bytes(encode_png(shots.mask("left", 0)))
    portrait(folder / "flows" / "portrait")
    models = folder / "models"
    down, up = factors(CHANNELS[0], TEXT_WIDTH)
    lora = write_lora(models / "lora", kohya(f"lora_unet.{BLOCK}.attn2.to_v", down, 0.3 * up)) / "weights.safetensors"
    return {
        "dreamshaper_8": tiny_folder(models / "dreamshaper_8", tiny_unet()),
        "style": lora.rename(models / "style.safetensors"),
        "v3_sd15_mm": motion_file(models / "v3_sd15_mm.safetensors", tiny_adapter()),
    }


def portrait(folder: Path) -> None:
    """A face that moves over a gray ground."""
    folder.mkdir()
    with Image.open(PORTRAIT) as picture:
        face = np.asarray(picture.convert("RGB"))
    for frame in range(FRAMES):
        canvas = np.full((face.shape[0] + 40, face.shape[1] + 60, 3), 120, np.uint8)
        x, y = 10 + 5 * frame, 20
        canvas[y : y + face.shape[0], x : x + face.shape[1]] = face
        (folder / f"{frame + 1:04d}.png").write_bytes(encode_png(canvas))


def played(farm: FarmUnderTest, url: str, folder: Path, one: Try) -> int:
    """Check and submit a workflow; the number of things that are not as they should be."""
    path = folder / f"{one.workflow}.json"
    arguments = (str(path), "--frames", str(folder / one.clip), *one.options)
    checked = farm.command("comfy", "check", *arguments, url=url)
    say("", f"farm comfy check {path.name}: exit code {checked.returncode}", *checked.stdout.rstrip().splitlines())
    out, started = folder / "out" / one.workflow, time.monotonic()
    done = farm.command("comfy", "submit", *arguments, "--download", str(out), url=url, timeout_s=PATIENCE_S)
    say(f"farm comfy submit {path.name} --frames {one.clip}: exit code {done.returncode}")
    if not one.carried:
        say(*done.stderr.rstrip().splitlines())
        return int(checked.returncode != 65) + int(done.returncode != 65)
    if done.returncode or checked.returncode:
        say(done.stderr, "  NOT AS IT SHOULD BE: it must be completed")
        return 1
    made = {picture.name: decode(picture.read_bytes()) for picture in sorted((out / "frames").iterdir())}
    given = {name: decode((folder / one.clip / name).read_bytes()) for name in made}
    changed = sum(bool((made[name] != given[name]).any()) for name in made)
    share = np.mean([float((made[name] != given[name]).any(axis=2).mean()) for name in made])
    good = len(made) == changed == FRAMES and share < 0.9
    say(
        f"  completed in {time.monotonic() - started:.0f} s: {len(made)} frames, {changed} of them changed, "
        f"{share:.0%} of their pixels{'' if good else '  NOT AS IT SHOULD BE'}"
    )
    return int(not good)


def main() -> int:
    """Print the story; 0 if all of it is as it should be."""
    torch.set_num_threads(1)
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()
    with stage() as here, here.farm(**SLOW) as farm:
        folder = here.new("files")
        models = files(folder)
        url = farm.api().http.url
        wrong = 0
        for name, path in models.items():
            answer = farm.command("model", "add", name, str(path), url=url)
            wrong += answer.returncode != 0
            say(f"farm model add {name} {path.name}: {answer.stdout.strip()[:12] or answer.stderr.strip()}")
        farm.workers(1)
        wrong += sum(played(farm, url, folder / "flows", one) for one in TRIES)
    say("", "All of it is as it should be." if not wrong else f"{wrong} things are NOT AS THEY SHOULD BE.")
    return int(wrong > 0)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    sys.exit(main())
