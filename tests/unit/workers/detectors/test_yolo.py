from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.model_registry import add_model
from farm.adapters.yolo_layout import DETECTOR
from farm.errors import Rejected
from tests.onnx_files import CELLS, square_finder, written
from workers.detectors.yolo import Yolo

NAMES = {"names": "{0: 'face', 1: 'hand'}", "task": "detect", "imgsz": "[64, 64]"}


def _folder(tmp_path: Path, **how: bool | int) -> Path:
    classes = int(how.pop("classes", 2))
    square_finder(tmp_path / DETECTOR, NAMES, classes=classes, **how)  # type: ignore[arg-type]  # flags
    return tmp_path


def _picture(width: int, height: int, *lit: tuple[int, int, int, int, tuple[int, int, int]]) -> np.ndarray:
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    for x1, y1, x2, y2, color in lit:
        picture[y1:y2, x1:x2] = color
    return picture


def test_boxes_come_back_in_pixels_of_the_picture_whatever_its_shape(tmp_path: Path) -> None:
    # 256x128 px on a canvas of 64x64: a quarter of the size, 16 px of ground above and below.
    net = Yolo(_folder(tmp_path), "squares")
    (found,) = net.find(_picture(256, 128, (64, 32, 96, 64, (230, 0, 0))), 0.6)
    assert found.label == "face"
    assert found.confidence == pytest.approx(230 / 255, abs=0.01)
    assert found.bbox == pytest.approx((64, 32, 96, 64), abs=0.5)
    assert found.shape is None


def test_each_class_has_its_label_and_the_surest_comes_first(tmp_path: Path) -> None:
    net = Yolo(_folder(tmp_path), "squares")
    picture = _picture(64, 64, (0, 0, 8, 8, (200, 0, 0)), (40, 40, 48, 48, (0, 250, 0)))
    assert [(one.label, tuple(map(round, one.bbox))) for one in net.find(picture, 0.6)] == [
        ("hand", (40, 40, 48, 48)),
        ("face", (0, 0, 8, 8)),
    ]


def test_what_is_below_the_threshold_is_not_found(tmp_path: Path) -> None:
    net = Yolo(_folder(tmp_path), "squares")
    picture = _picture(64, 64, (0, 0, 8, 8, (200, 0, 0)))
    assert net.find(picture, 0.9) == []
    assert len(net.find(picture, 0.7)) == 1


def test_a_segmenter_gives_the_mask_inside_of_the_box(tmp_path: Path) -> None:
    net = Yolo(_folder(tmp_path, masks=True), "squares")
    # A cell of 32x32 px of the picture, lit in its left half.
    (found,) = net.find(_picture(256, 128, (64, 32, 80, 64, (255, 0, 0))), 0.6)
    assert found.shape is not None
    assert found.shape.mask.shape == (found.shape.at.height, found.shape.at.width) == (32, 32)
    assert found.shape.mask[8:24, :12].all()
    assert not found.shape.mask[8:24, 20:].any()


def test_a_network_that_sorts_out_by_itself_is_read_as_it_is(tmp_path: Path) -> None:
    net = Yolo(_folder(tmp_path, classes=1, ready=True), "squares")
    # Two boxes of which each covers the other by a third: both were meant.
    picture = _picture(64, 64, (8, 8, 24, 16, (200, 0, 0)))
    assert [tuple(map(round, one.bbox)) for one in net.find(picture, 0.6)] == [(8, 8, 24, 24), (16, 8, 32, 24)]


def test_a_detector_is_added_like_any_model_and_known_as_one(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    ref = add_model("squares", square_finder(tmp_path / "squares.onnx", {"names": "{0: 'square'}"}), blobs)
    assert ref.kind == "detector"


def test_the_name_of_the_farms_own_detector_is_taken(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="comes with the farm"):
        add_model("face", square_finder(tmp_path / "squares.onnx"), MemoryBlobs())


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ({"task": "classify"}, "its task is 'classify'"),
        ({"names": "{0: 'a', 1: 'b'}"}, "names for 2 classes"),
        ({"names": "__import__('os')"}, "its note `names`"),
        ({"names": "{1: 'a'}"}, "leaves classes out"),
        ({"imgsz": "[99999, 64]"}, None),
    ],
)
def test_a_network_that_is_no_detector_is_refused_with_the_reason(
    tmp_path: Path, notes: dict[str, str], said: str | None
) -> None:
    path = square_finder(tmp_path / "squares.onnx", notes)
    if said is None:
        assert add_model("squares", path, MemoryBlobs()).kind == "detector"  # the network's own size counts
        return
    with pytest.raises(Rejected, match=said) as told:
        add_model("squares", path, MemoryBlobs())
    assert "yolo export" in str(told.value)


def test_an_input_of_any_size_is_as_large_as_the_notes_say(tmp_path: Path) -> None:
    sides = {"images": ("batch", 3, "height", "width")}
    path = written(tmp_path / DETECTOR, [], {}, sides, {"output0": (1, 5, CELLS)}, {"imgsz": "[96, 160]"})
    with pytest.raises(Rejected, match="cannot be run here"):
        Yolo(path.parent, "empty").find(_picture(8, 8), 0.5)
    from farm.adapters.model_sources import LocalFiles
    from farm.adapters.yolo_layout import yolo_layout

    layout = yolo_layout(LocalFiles({DETECTOR: path}).network(DETECTOR), "empty")
    assert (layout.width, layout.height) == (160, 96)


def test_a_pickle_is_refused_and_the_export_named(tmp_path: Path) -> None:
    (tmp_path / "face.pt").write_bytes(b"PK")
    with pytest.raises(Rejected, match=r"yolo export model=face\.pt format=onnx"):
        add_model("face-yolo", tmp_path / "face.pt", MemoryBlobs())


@pytest.mark.parametrize("cut", [1, 40, 700])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, cut: int) -> None:
    path = square_finder(tmp_path / "squares.onnx")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(Rejected):
        add_model("squares", path, MemoryBlobs())
