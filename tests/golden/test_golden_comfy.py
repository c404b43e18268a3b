from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.golden import check, comfy  # needs torch, which the line above asks for

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
