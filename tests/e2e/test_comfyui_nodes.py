"""A node of the pack on a whole farm: what it gives is what the same job gives that the client submits."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from farm.adapters.pictures import decode, encode_png
from farm.client import Farm as Client
from farm.domain.detailer import JobType
from farm.domain.job import JobRequest, SegmentRequest
from farm.domain.state import JobState
from tests.comfyui_pack import defaults, node, part
from tests.e2e.farm_under_test import PATIENCE_S, FarmUnderTest
from tests.e2e.shots import DETAILER, HEIGHT, MODEL, MOVING, WIDTH, hand_in, make_shot, mask, request

MASK, MOVE = "MaskDetailerPipeFarm", "DetailerForEachPipeForAnimateDiffFarm"
CHOSEN = {name: value for name, value in DETAILER.items() if name != "size_multiple"}


def loaded(folder: Path) -> torch.Tensor:
    """A folder of pictures as ComfyUI's loaders give them."""
    pictures = [decode(path.read_bytes()) for path in sorted(folder.iterdir())]
    return torch.from_numpy(np.stack(pictures).astype(np.float32) / 255)


def asked(name: str, url: str, **changes: object) -> dict[str, Any]:
    return {**defaults(name), "farm": url, "model": MODEL, "positive": "a left disk", **CHOSEN, **changes}


def by_the_client(client: Client, wanted: JobRequest, folder: Path) -> torch.Tensor:
    """The final frames of a job as our own client submits it."""
    done = client.follow(client.submit(wanted).id, lambda now: None, PATIENCE_S)
    assert done is not None
    assert done.status is JobState.COMPLETED
    client.download(done.id, folder)
    return loaded(folder / "frames")


@pytest.mark.slow
def test_the_nodes_give_the_pixels_of_the_same_jobs(farm: FarmUnderTest, tmp_path: Path) -> None:
    shot = make_shot(tmp_path / "shot", frames=6)
    client, handed = farm.api(), hand_in(shot, farm)
    farm.workers(1)
    plain = {"size_multiple": 1, "prompt": "a left disk"}
    wanted = request(handed, JobType.MASK, detailer=plain)
    expected = by_the_client(client, wanted.model_copy(update={"segments": wanted.segments[:1]}), tmp_path / "mask")
    masks = loaded(shot.masks["left"])[..., 0]
    image, refined, *_ = node(MASK).detail(loaded(shot.clip), masks, **asked(MASK, client.http.url))
    assert torch.equal(image, expected)
    assert len(refined) == shot.frames

    drawn = mask("left", 0)[16:80, 0:64]
    (tmp_path / "segs.json").write_text(
        json.dumps(
            {
                "header": [HEIGHT, WIDTH],
                "segs": [
                    {
                        "bbox": [14, 24, 46, 56],
                        "crop_region": [0, 16, 64, 80],
                        "mask": base64.b64encode(encode_png(drawn)).decode(),
                        "label": "A",
                    }
                ],
            }
        )
    )
    segment = SegmentRequest(name="segs", segs=client.upload(tmp_path / "segs.json").uri)
    wanted = request(handed, JobType.ANIMATEDIFF, detailer=plain, chunk=None)
    expected = by_the_client(client, wanted.model_copy(update={"segments": (segment,)}), tmp_path / "moving")
    seg = part("segs").SEG(None, (drawn / 255).astype(np.float32), 1.0, (0, 16, 64, 80), (14, 24, 46, 56), "A")
    given = (HEIGHT, WIDTH), [seg]
    image, made, *_ = node(MOVE).detail(loaded(shot.clip), given, **asked(MOVE, client.http.url, **MOVING))
    assert torch.equal(image, expected)
    assert not torch.equal(image, loaded(shot.clip))
    assert made[1][0].cropped_image.shape == (shot.frames, 64, 64, 3)
