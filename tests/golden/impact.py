"""Folders of golden vectors that were made by running Impact Pack's functions and nodes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden import clips, nodes, pure
from tests.golden.cases import BLUR, FLOAT, Case, Outcome, differences
from tests.golden.tables import check_tables
from tests.golden.tally import Tally

EXACT = 0.0

FUNCTIONS: dict[str, tuple[Callable[[Case], Outcome], float | None]] = {
    "core.mask_to_segs": (pure.masks_to_segments, EXACT),
    "core.batch_mask_to_segs": (pure.masks_to_segments, EXACT),
    "core.segs_scale_match": (pure.scale_match, EXACT),
    "utils.tensor_gaussian_blur_mask": (pure.blur, BLUR),
    "utils.tensor_paste": (pure.paste_once, FLOAT),
    "utils.tensor_resize": (pure.resize, EXACT),
    "segs_nodes.SEGSPaste.doit": (clips.segs_paste, None),
    "impact_pack.DetailerForEach.do_detail": (nodes.do_detail, None),
    "impact_pack.MaskDetailerPipe.doit": (nodes.mask_detailer, None),
    "animatediff_nodes.DetailerForEachPipeForAnimateDiff.doit": (clips.detailer_for_clip, None),
    "animatediff_nodes.SEGSDetailerForAnimateDiff.doit": (clips.segs_detailer_for_clip, None),
}
"""The original's function -> ours, and the largest difference allowed; None: a node's (see `cases`)."""


def check_folder(folder: Path) -> Tally:
    """Every case and every row of every table of a folder."""
    manifest = json.loads((folder / "manifest.json").read_text())
    tally = Tally()
    for document in manifest.get("cases", []):
        _check_case(tally, folder, document)
    tally.add(check_tables(folder, manifest.get("tables", {})))
    return tally


def _check_case(tally: Tally, folder: Path, document: Mapping[str, Any]) -> None:
    name = document["name"]
    if document["function"] not in FUNCTIONS:
        return tally.record(name, [f"no adapter for {document['function']!r}"], [], False)
    function, tolerance = FUNCTIONS[document["function"]]
    with np.load(folder / document["file"]) as stored:
        case = Case(document, dict(stored))
    try:
        outcome = function(case)
    except Exception as error:  # noqa: BLE001  # a case that fails in any way is one failure, not the end of the run
        faults = [] if "raises" in document else [f"raises {error!r}"]
        return tally.record(name, faults, [], False)
    if outcome.skipped and ("raises" in document or not outcome.arrays):
        return tally.record(name, [], outcome.decisions, True)
    if "raises" in document:
        faults = [f"does not raise, as the original does ({document['raises']})"]
        return tally.record(name, faults, [], False)
    return tally.record(name, differences(case, outcome, tolerance), outcome.decisions, outcome.skipped)
