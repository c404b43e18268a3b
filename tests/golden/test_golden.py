from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.golden import check, impact

VECTORS = Path(__file__).parent / "vectors" / "impact"


def _folder_with(case: dict[str, object], target: Path) -> Path:
    shutil.copy(VECTORS / str(case["file"]), target)
    (target / "manifest.json").write_text(json.dumps({"cases": [case]}))
    return target


def _case(name: str) -> dict[str, object]:
    cases: list[dict[str, object]] = json.loads((VECTORS / "manifest.json").read_text())["cases"]
    return next(case for case in cases if case["name"] == name)


def test_our_code_gives_what_the_original_nodes_gave() -> None:
    tally = impact.check_folder(VECTORS)
    assert tally.failures == []
    assert tally.passed > 0


def test_a_skipped_case_names_the_decision_that_makes_it_differ() -> None:
    tally = impact.check_folder(VECTORS)
    assert tally.skips
    assert all("SPEC.md, decisions: " in line for line in tally.skips + tally.notes)


@pytest.mark.parametrize("name", ["detailer_00", "detailer_ad_00", "resize_001", "blur_003"])
def test_a_golden_picture_that_is_off_by_three_levels_fails(name: str, tmp_path: Path) -> None:
    case = _case(name)
    folder = _folder_with(case, tmp_path)
    file = folder / str(case["file"])
    arrays = dict(np.load(file))
    outputs = case["outputs"]
    assert isinstance(outputs, list)
    changed = arrays[outputs[0]].copy()
    changed.flat[0] += 3.1 / 255
    np.savez(file, **{**arrays, outputs[0]: changed})
    assert len(impact.check_folder(folder).failures) == 1


def test_another_seed_in_a_call_of_the_sampler_fails(tmp_path: Path) -> None:
    case = _case("detailer_ad_00")
    calls = case["calls"]
    assert isinstance(calls, list)
    case["calls"] = [{**calls[0], "seed": 51}, *calls[1:]]
    assert len(impact.check_folder(_folder_with(case, tmp_path)).failures) == 1


def test_a_function_without_an_adapter_fails(tmp_path: Path) -> None:
    folder = _folder_with({**_case("resize_001"), "function": "core.unheard_of"}, tmp_path)
    assert len(impact.check_folder(folder).failures) == 1


def test_a_parameter_that_no_adapter_hands_on_fails(tmp_path: Path) -> None:
    case = _case("detailer_00")
    params = case["params"]
    assert isinstance(params, dict)
    folder = _folder_with({**case, "params": {**params, "sam_threshold": 0.9}}, tmp_path)
    assert "sam_threshold" in impact.check_folder(folder).failures[0]


def test_the_last_line_counts_and_the_exit_status_follows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _folder_with(_case("resize_001"), tmp_path)
    assert check.main([str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 0 failed, 0 skipped"
    _folder_with({**_case("resize_001"), "params": {"w": 3, "h": 3}}, tmp_path)
    assert check.main([str(folder)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"
