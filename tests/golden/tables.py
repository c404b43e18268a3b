"""Golden tables: crop regions, sampling sizes, step plans. A row is a case."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.detail.box import make_crop_region
from farm.detail.sizes import sampling_size
from farm.detail.step_plan import Stage, step_plan
from tests.golden.cases import Outcome
from tests.golden.nodes import size_rule
from tests.golden.tally import Tally

BASE_MODEL_WITHOUT_STEPS = "SPEC.md, decisions: refiner with E == S adds no noise (8): noise is added"

NORMAL_MAX = 10.0
"""The tables' stand-in for ComfyUI's schedules: `steps` equal steps from here to 0."""
RELATIVE = 2e-6
"""Of a sigma: the tables hold float32."""


def crop_region(row: dict[str, Any]) -> Outcome:
    """A row of make_crop_region."""
    region = make_crop_region(row["w"], row["h"], row["bbox"], row["crop_factor"], row["crop_min_size"])
    return Outcome(facts={"region": list(region)})


def enhance_size(row: dict[str, Any]) -> Outcome:
    """A row of enhance_size; the AnimateDiff function always repaints."""
    x1, y1, x2, y2 = row["bbox"]
    always = row["function"].endswith("animatediff") or row["force_inpaint"]
    size = sampling_size((row["w"], row["h"]), (x2 - x1, y2 - y1), size_rule(row, always))
    if size is None:
        return Outcome(facts={"skipped": True})
    return Outcome(facts={"skipped": False, "new_w": size.width, "new_h": size.height})


def sampling_plan(row: dict[str, Any]) -> Outcome:
    """A row of sampling_plan, which was made by the later Impact Pack's route."""
    ran: list[tuple[Stage, NDArray[np.float32]]] = []
    for stage in step_plan(row["steps"], row["denoise"], row["refiner_ratio"], "impact"):
        sigmas = stage.sigmas(_schedule(row["scheduler"], row["sampler"], stage.schedule_steps))
        if len(sigmas) > 1:
            ran.append((stage, sigmas))
    outcome = Outcome()
    final = float(sum(2 if stage.result == "x0" else 1 for stage, _ in ran))
    outcome.facts["final_value"] = final
    ratio = row["refiner_ratio"]
    if ratio is not None and math.floor(row["steps"] * (1 - ratio)) == 0:
        outcome.decisions, outcome.skipped = [BASE_MODEL_WITHOUT_STEPS], True
    if len(ran) != len(row["stages"]):
        outcome.faults.append(f"{len(ran)} stages instead of {len(row['stages'])}")
        return outcome
    for (stage, sigmas), theirs in zip(ran, row["stages"], strict=True):
        wanted = np.array(theirs["sigmas"], dtype=np.float32)
        add_noise = True if outcome.skipped else theirs["add_noise"]
        if stage.model != theirs["stage"] or stage.add_noise != add_noise:
            outcome.faults.append(f"{stage} instead of {theirs['stage']}, add_noise {add_noise}")
        if sigmas.shape != wanted.shape or not np.allclose(sigmas, wanted, rtol=RELATIVE, atol=0):
            outcome.faults.append(f"sigmas {sigmas} instead of {wanted}")
    return outcome


def check_tables(folder: Path, tables: dict[str, str]) -> Tally:
    """All rows of all tables of a folder."""
    tally = Tally()
    for table, file in tables.items():
        rows = json.loads((folder / file).read_text())
        for number, row in enumerate(rows):
            _check_row(tally, f"{table}[{number}]", table, row)
    return tally


def _check_row(tally: Tally, name: str, table: str, row: dict[str, Any]) -> None:
    function = ROWS.get(table)
    if function is None:
        return tally.record(name, [f"no adapter for the table {table!r}"], [], False)
    try:
        outcome = function(row)
    except Exception as error:  # noqa: BLE001  # a row that fails in any way is one failure, not the end of the run
        return tally.record(name, [] if "raises" in row else [f"raises {error!r}"], [], False)
    faults = list(outcome.faults)
    if "raises" in row:
        faults = [f"does not raise, as the original does ({row['raises']})"]
    for key, value in outcome.facts.items():
        if "raises" not in row and row.get(key) != value:
            faults.append(f"{key} is {value} instead of {row.get(key)}")
    return tally.record(name, faults, outcome.decisions, outcome.skipped)


def _schedule(scheduler: str, sampler: str, steps: int) -> NDArray[np.float32]:
    """The full schedule: AYS and GITS by the engine, the rest by the tables' stand-in."""
    # Imported here: the other tables need no torch.
    from workers.gpu.schedules import DROPS_PENULTIMATE, schedule
    from workers.gpu.sigmas import SigmaTable, betas_of

    if scheduler.startswith(("AYS", "GITS")):
        published: NDArray[np.float32] = schedule(scheduler, SigmaTable(betas_of({})), sampler, steps).numpy()
        return published
    if sampler not in DROPS_PENULTIMATE:
        return np.linspace(NORMAL_MAX, 0, steps + 1, dtype=np.float32)
    levels = np.linspace(NORMAL_MAX, 0, steps + 2, dtype=np.float32)
    return np.concatenate([levels[:-2], levels[-1:]])


ROWS: dict[str, Callable[[dict[str, Any]], Outcome]] = {
    "make_crop_region": crop_region,
    "enhance_size": enhance_size,
    "sampling_plan": sampling_plan,
}
