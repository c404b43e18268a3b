from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch  # after the line that asks for it, as all that needs it

from tests.golden import check, comfy, comfy_nodes

VECTORS = Path(__file__).parent / "vectors" / "comfy"


def _folder_with(row_id: int, target: Path) -> Path:
    """A folder with one row of the manifest."""
    manifest = json.loads((VECTORS / "manifest.json").read_text())
    row = next(row for row in manifest["rows"] if row["id"] == row_id)
    for name in (row["file"], manifest["weights"]["file"], "unit_models.npz", "unit_sigmas.npz"):
        shutil.copy(VECTORS / name, target)
    (target / "manifest.json").write_text(json.dumps({**manifest, "rows": [row]}))
    return target


def test_models_schedules_samplers_and_nodes_give_what_comfyui_gives() -> None:
    tally = comfy.check_folder(VECTORS)
    assert tally.failures == []
    assert tally.passed > 100
    assert tally.skips == []


def test_a_sampler_that_we_do_not_have_is_skipped_with_its_name(tmp_path: Path) -> None:
    folder = _folder_with(2, tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["rows"][0]["sampler_name"] = "of_tomorrow"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert any("of_tomorrow is not implemented" in line for line in comfy.check_folder(folder).skips)


@pytest.mark.parametrize(("row_id", "array"), [(2, "samples"), (59, "output"), (72, "output")])
def test_a_result_that_is_a_little_off_fails(row_id: int, array: str, tmp_path: Path) -> None:
    folder = _folder_with(row_id, tmp_path)
    file = next(folder.glob(f"{row_id:03d}_*.npz"))
    arrays = dict(np.load(file))
    arrays[array].flat[0] += 0.02
    np.savez(file, **arrays)
    assert len(comfy.check_folder(folder).failures) == 1


def test_the_command_counts_both_folders_forms(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert check.main([str(_folder_with(42, tmp_path))]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(" passed, 0 failed, 0 skipped")


def _changed(folder: Path, **values: object) -> Path:
    """The folder with other parameters in its row."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["rows"][0].update(values)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _failure(folder: Path) -> str:
    """Why the folder's only row fails."""
    for name in ("unit_models.npz", "unit_sigmas.npz"):
        (folder / name).unlink()
    (failure,) = comfy.check_folder(folder).failures
    return failure


SAMPLE, NODE, CLIP = 42, 59, 73
"""A plain row of each kind."""


@pytest.mark.parametrize(
    "values",
    [
        {"scheduler": "GITS[coeff=0.85]", "steps": 3},
        {"scheduler": "AYS SDXL"},
        {"seed": 2**64 - 1},
        {"cfg": 1.0},
        {"denoise": 1.0},
        {"sampler_name": "seeds_2", "steps": 2},
    ],
    ids=str,
)
def test_a_sampling_rows_parameter_reaches_our_code(values: dict[str, object], tmp_path: Path) -> None:
    failure = _failure(_changed(_folder_with(SAMPLE, tmp_path), **values))
    assert "raises" not in failure
    assert "differ" in failure or "instead of" in failure


def _node(row_id: int, **values: object) -> NDArray[np.float32]:
    """What our code makes of a row in one step, with other parameters."""
    torch.set_num_threads(1)
    manifest = json.loads((VECTORS / "manifest.json").read_text())
    row = next(row for row in manifest["rows"] if row["id"] == row_id)
    with torch.inference_mode(), np.load(VECTORS / row["file"]) as arrays:
        row = {**row, "steps": 1, **values}
        made, _ = comfy_nodes.repainted(_models(), row, dict(arrays))
    return made


@cache
def _models() -> comfy.Models:
    return comfy.load_models(VECTORS, json.loads((VECTORS / "manifest.json").read_text())["weights"])


PLAIN = cache(_node)


@pytest.mark.parametrize(
    ("row_id", "values"),
    [
        (NODE, {"mask_mode": False}),
        (NODE, {"cycle": 2}),
        (NODE, {"batch_size": 2}),
        (NODE, {"seed": 7}),
        (NODE, {"guide_size": 128}),
        (NODE, {"guide_size_for": False}),
        (NODE, {"max_size": 104}),
        (NODE, {"feather": 0}),
        (NODE, {"noise_mask_feather": 3}),
        (NODE, {"bbox_fill": True}),
        (NODE, {"inpaint_model": True}),
        (NODE, {"node": "DetailerForEachPipe", "force_inpaint": False, "guide_size": 20}),
        (NODE, {"node": "DetailerForEachPipe", "noise_mask": False}),
        (CLIP, {"seed": 7}),
        (CLIP, {"guide_size_for": False, "guide_size": 96}),
        (CLIP, {"feather": 30}),
        (CLIP, {"noise_mask_feather": 3}),
    ],
    ids=str,
)
def test_a_node_rows_parameter_reaches_our_code(row_id: int, values: dict[str, object]) -> None:
    assert not np.array_equal(_node(row_id, **values), PLAIN(row_id))


@pytest.mark.parametrize("values", [{"crop_factor": 2.0}, {"drop_size": 80}], ids=str)
def test_the_segments_of_a_node_that_makes_them_are_compared(values: dict[str, object], tmp_path: Path) -> None:
    assert "crop regions" in _failure(_changed(_folder_with(NODE, tmp_path), **values))


def test_what_one_node_has_and_the_other_has_not_is_left_out_there() -> None:
    assert np.array_equal(_node(CLIP, cycle=2, batch_size=2, mask_mode=False, noise_mask=False), PLAIN(CLIP))
    assert np.array_equal(_node(NODE, noise_mask=False), PLAIN(NODE))


@pytest.mark.parametrize(
    ("row_id", "values"),
    [
        (SAMPLE, {"kind": "unheard_of"}),
        (SAMPLE, {"eta": 0.5}),
        (SAMPLE, {"mask": "round"}),
        (NODE, {"node": "FaceDetailer"}),
        (NODE, {"sam_threshold": 0.9}),
        (NODE, {"wildcard": "a {red|blue} hat"}),
    ],
    ids=str,
)
def test_a_row_that_says_what_the_check_does_not_know_fails(
    row_id: int, values: dict[str, object], tmp_path: Path
) -> None:
    failure = _failure(_changed(_folder_with(row_id, tmp_path), **values))
    assert str(next(iter(values.values()))) in failure


def test_a_row_that_raises_is_one_failure_and_the_others_are_checked(tmp_path: Path) -> None:
    folder = _folder_with(SAMPLE, tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    (row,) = manifest["rows"]
    manifest["rows"] = [{**row, "scheduler": "of_tomorrow"}, {**row, "file": "missing.npz"}, row]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    tally = comfy.check_folder(folder)
    assert ["of_tomorrow" in line for line in tally.failures] == [True, False]
    assert tally.passed > 0


def test_a_row_whose_original_is_not_finite_is_skipped_with_the_reason(tmp_path: Path) -> None:
    tally = comfy.check_folder(_changed(_folder_with(SAMPLE, tmp_path), finite=False))
    assert not tally.failures
    assert "not finite" in tally.skips[0]


def test_a_folder_may_leave_out_the_networks_that_it_names(tmp_path: Path) -> None:
    folder = _folder_with(SAMPLE, tmp_path)
    (folder / "tiny_weights.safetensors").unlink()
    assert not comfy.check_folder(folder).failures
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["weights"]["sha256"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="not the file that the manifest names"):
        comfy.check_folder(folder)
