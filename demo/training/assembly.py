"""A model folder of what a run learnt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from demo.training.networks import build, save, weights_path
from demo.training.presets import EMBEDDED
from demo.training.run import Where, claim
from demo.training.tiles import load_tiles
from farm.errors import Rejected

FARM_FILE = "farm.json"
LARGEST = 30_000_000
"""Bytes that a model folder may have: it lies in the repository."""


class NothingTrained(Rejected):
    """No stage has ended."""

    def __init__(self, work: Path) -> None:
        super().__init__(
            f"No stage of the run in {work} has ended, so there is nothing to assemble. Run `python -m demo.training "
            f"train --work {work}` to the end of at least one stage."
        )


class ModelTooLarge(Rejected):
    """A model that cannot lie in the repository."""

    def __init__(self, folder: Path, size: int) -> None:
        super().__init__(
            f"{folder} has {size / 1e6:.1f} MB; at most {LARGEST / 1e6:.0f} MB can be embedded. Choose smaller widths "
            f"in demo/training/presets.py."
        )


def assemble(where: Where, folder: Path) -> int:
    """Write a model folder; its bytes.

    Raises:
        NothingTrained: no stage of the run has ended.
        ModelTooLarge: it has more than 30 MB.
    """
    if not any(weights_path(where.work, stage).is_file() for stage in where.sizes.paces):
        raise NothingTrained(where.work)
    claim(where)
    captions = tuple(sorted(set(load_tiles(where.work).words)))
    save(build(where.sizes, where.work, captions, torch.device("cpu")), folder)
    start = where.sizes.start or EMBEDDED
    recommended = json.loads((start / FARM_FILE).read_text())
    (folder / FARM_FILE).write_text(json.dumps(recommended, indent=2) + "\n")
    if where.sizes.start is not None:
        # The tokenizer is the start's own: not even its files are written anew.
        shutil.rmtree(folder / "tokenizer")
        shutil.copytree(where.sizes.start / "tokenizer", folder / "tokenizer")
    for path in folder.glob("*/config.json"):
        _forget_origin(path)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > LARGEST:
        raise ModelTooLarge(folder, size)
    return size


def _forget_origin(config: Path) -> None:
    """Take out where a network was read from: a path of this machine."""
    kept = {name: value for name, value in json.loads(config.read_text()).items() if name != "_name_or_path"}
    config.write_text(json.dumps(kept, indent=2) + "\n")
