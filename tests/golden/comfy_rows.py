"""What a row of ComfyUI's golden manifest may say; what this does not list, no row is silently judged without."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = dict[str, Array]
Row = dict[str, Any]

HOW_IT_WAS_MADE = frozenset({"id", "file", "kind", "note", "finite", "width", "height", "image_seed"})
"""Said of the row's arrays, which are compared as they are."""
SAMPLING = frozenset({"sampler_name", "scheduler", "steps", "cfg", "denoise", "seed", "route"})
SAMPLE_KEYS = HOW_IT_WAS_MADE | SAMPLING | {"mask", "batch", "neg_tokens"}
MASKS = ("none", "hard", "soft", "diff")
"""Kinds of noise mask in sample rows; `diff`: with differential diffusion."""
NODES = ("MaskDetailerPipe", "DetailerForEachPipe", "DetailerForEachPipeForAnimateDiff")
NODE_KEYS = (
    HOW_IT_WAS_MADE
    | SAMPLING
    | {"node", "frames", "blobs", "moving", "neg_tokens"}
    | {"guide_size", "guide_size_for", "max_size", "feather", "crop_factor", "drop_size", "bbox_fill", "contour_fill"}
    | {"noise_mask", "mask_mode", "cycle", "batch_size", "noise_mask_feather", "inpaint_model", "force_inpaint"}
)
WITHOUT_REFINER = frozenset({"refiner_ratio", "scheduler_func_opt", "wildcard", "detailer_hook"})
"""Parameters without effect where they are empty, or where there is no refiner: rows have none."""

_KINDS: dict[str, tuple[frozenset[str], str, tuple[str, ...]]] = {
    "sample": (SAMPLE_KEYS, "mask", MASKS),
    "node": (NODE_KEYS, "node", NODES),
}
"""By kind of row: what it may say, and what one of its entries can be."""


def not_known(row: Row) -> list[str]:
    """Faults of a row that says something that the check does not look at."""
    if row["kind"] not in _KINDS:
        return [f"rows of the kind {row['kind']!r} are not known; known are {', '.join(_KINDS)}"]
    known, name, values = _KINDS[row["kind"]]
    idle = {name for name in WITHOUT_REFINER if name == "refiner_ratio" or not row.get(name)}
    unknown = sorted(set(row) - known - idle)
    faults = [f"{one!r} ({row[one]!r}) is nothing that the check hands on or compares" for one in unknown]
    if row.get(name) not in values:
        faults.append(f"{name} is {row.get(name)!r}; known are {', '.join(values)}")
    return faults
