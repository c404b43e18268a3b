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

_SEGMENTS = frozenset(
    {"combined", "crop_factor", "bbox_fill", "drop_size", "crop_min_size", "is_contour", "kind", "label"}
)
_NODE = frozenset({"guide_size", "max_size", "seed", "denoise", "noise_mask_feather", "aitemplate"})
_WITHOUT_EFFECT = frozenset({"steps", "cfg", "refiner_ratio", "sampler_name", "scheduler"})
"""The fake sampler does not look at them, and there is no refiner."""
_ON_ONE = _NODE | _WITHOUT_EFFECT | {"feather", "cycle", "inpaint_model"}
_ON_CLIPS = _NODE | _WITHOUT_EFFECT | {"guide_size_for", "segs"}

FUNCTIONS: dict[str, tuple[Callable[[Case], Outcome], float | None, frozenset[str]]] = {
    "core.mask_to_segs": (pure.masks_to_segments, EXACT, _SEGMENTS),
    "core.batch_mask_to_segs": (pure.masks_to_segments, EXACT, _SEGMENTS),
    "core.segs_scale_match": (pure.scale_match, EXACT, frozenset({"target", "segs"})),
    "utils.tensor_gaussian_blur_mask": (pure.blur, BLUR, frozenset({"kernel_size", "sigma"})),
    "utils.tensor_paste": (pure.paste_once, FLOAT, frozenset({"left_top"})),
    "utils.tensor_resize": (pure.resize, EXACT, frozenset({"w", "h"})),
    "segs_nodes.SEGSPaste.doit": (clips.segs_paste, None, frozenset({"feather", "alpha", "segs", "header"})),
    "impact_pack.DetailerForEach.do_detail": (
        nodes.do_detail,
        None,
        _ON_ONE | {"guide_size_for_bbox", "noise_mask", "force_inpaint", "segs"},
    ),
    "impact_pack.MaskDetailerPipe.doit": (
        nodes.mask_detailer,
        None,
        _ON_ONE
        | {"guide_size_for", "mask_mode", "crop_factor", "drop_size", "batch_size", "bbox_fill", "contour_fill"},
    ),
    "animatediff_nodes.DetailerForEachPipeForAnimateDiff.doit": (
        clips.detailer_for_clip,
        None,
        _ON_CLIPS | {"feather"},
    ),
    "animatediff_nodes.SEGSDetailerForAnimateDiff.doit": (clips.segs_detailer_for_clip, None, _ON_CLIPS),
}
"""The original's function -> ours; the largest difference allowed, or None: a node's (see `cases`); the parameters
that ours is handed or may leave out."""


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
    function, tolerance, known = FUNCTIONS[document["function"]]
    if unknown := sorted(set(document["params"]) - known):
        return tally.record(name, [f"the parameters {', '.join(unknown)} are handed on to nothing"], [], False)
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
