from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.model_registry import add_model
from farm.adapters.pictures import encode_png
from farm.detail.box import Box
from farm.detail.detections import Found
from farm.domain import keys
from farm.domain.detection import FACE, Detection
from farm.domain.job import JobRequest
from farm.domain.model import ModelRef
from farm.domain.segment import SegsDocument
from farm.domain.state import JobState
from farm.settings import Settings
from tests.onnx_files import square_finder
from workers.gpu.faults import BadModel
from workers.gpu.sam import Sam
from workers.local_render import LocalFarm

SIDE = 64


def tiny_sam(folder: Path) -> Path:
    """Of random weights, that sees 64x64 px."""
    vision = SamVisionConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=8,
        output_channels=16,
        window_size=4,
        global_attn_indexes=[1],
        mlp_dim=32,
        num_pos_feats=8,
    )
    prompts = SamPromptEncoderConfig(hidden_size=16, image_size=SIDE, patch_size=8, mask_input_channels=4)
    decoder = SamMaskDecoderConfig(
        hidden_size=16, mlp_dim=32, num_hidden_layers=2, num_attention_heads=2, iou_head_hidden_dim=16
    )
    config = SamConfig(
        vision_config=vision.to_dict(),
        prompt_encoder_config=prompts.to_dict(),
        mask_decoder_config=decoder.to_dict(),
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        SamModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sam(tmp_path_factory.mktemp("sam"))


def _detection(**parameters: float) -> Detection:
    sam = ModelRef(name="sam", hash="1" * 64, kind="sam")
    return Detection.model_validate({"detector": FACE, "sam": sam, "dilation": 0, **parameters})


def _picture() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 255, (80, 120, 3), dtype=np.uint8)


def test_a_folder_of_transformers_is_known_as_a_sam(folder: Path) -> None:
    assert add_model("sam", folder, MemoryBlobs()).kind == "sam"


def test_each_box_gets_a_shape_of_its_own_that_stays_in_it(folder: Path) -> None:
    sam = Sam(folder, "sam")
    found = [Found((8.2, 10, 50, 60), "face", 0.9), Found((60, 4, 118.6, 79), "face", 0.8)]
    shaped = sam.shaped(_picture(), found, _detection())
    assert [(one.bbox, one.label, one.confidence) for one in shaped] == [(f.bbox, f.label, f.confidence) for f in found]
    shapes = [one.shape for one in shaped]
    assert shapes[0] is not None
    assert shapes[1] is not None
    assert (shapes[0].at, shapes[1].at) == (Box(8, 10, 50, 60), Box(60, 4, 119, 79))
    assert all(shape is not None and set(np.unique(shape.mask)) <= {0, 1} for shape in shapes)
    again = sam.shaped(_picture(), found[1:], _detection())[0].shape
    assert again is not None
    np.testing.assert_array_equal(again.mask, shapes[1].mask)


def test_all_masks_above_the_threshold_are_taken_else_the_best_one(folder: Path) -> None:
    sam, found = Sam(folder, "sam"), [Found((8, 10, 110, 70), "face", 0.9)]

    def marked(**parameters: float) -> np.ndarray:
        shape = sam.shaped(_picture(), found, _detection(**parameters))[0].shape
        assert shape is not None
        return shape.mask

    best, every = marked(sam_threshold=1), marked(sam_threshold=0)
    assert (every >= best).all()
    assert every.sum() > best.sum() > 0
    assert marked(sam_threshold=1, sam_dilation=5).sum() > best.sum()


def test_a_job_repaints_what_the_sam_finds_in_the_boxes(folder: Path, tmp_path: Path) -> None:
    farm = LocalFarm(tmp_path / "store", Settings.read(engine="fake", device="cpu"))
    farm.add_model("squares", square_finder(tmp_path / "squares.onnx"))
    farm.add_model("tiny-sam", folder)
    (tmp_path / "clip").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
        pixels[16:24, 16:24, 0] = 250
        (tmp_path / "clip" / f"{number}.png").write_bytes(encode_png(pixels))
    detect = {"detector": "squares", "sam": "tiny-sam", "threshold": 0.8, "dilation": 12}
    request = {
        "type": "detect",
        "input": {"uri": farm.admit(tmp_path / "clip")},
        "segments": [{"name": "face", "detect": detect, "drop_size": 2}],
    }
    try:
        ended = farm.run(JobRequest.model_validate(request))
    finally:
        farm.close()
    assert ended.state is JobState.COMPLETED
    document = SegsDocument.model_validate_json(farm.blobs.get(keys.segs(ended.facts.id)))
    assert len(document.frames) == 2
    for (entry,) in document.frames.values():
        assert isinstance(entry.mask, str)
        assert entry.crop_region is not None
        assert (entry.dilation, entry.identity) == (0, 1)


def test_nothing_found_needs_no_network(folder: Path) -> None:
    assert Sam(folder, "sam").shaped(_picture(), [], _detection()) == []


def test_what_does_not_load_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "sam"}')
    with pytest.raises(BadModel, match="the SAM 'broken' does not load"):
        Sam(tmp_path, "broken")
