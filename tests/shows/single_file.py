"""`python -m tests.shows.single_file`: checkpoints in one file against the same models as folders, without a network.

Each family is made small, with random weights, and saved in diffusers' layout and in the original one. Both are read
with sockets closed: every tensor must be equal, and a picture painted with either the same to the last bit.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

import numpy as np
import torch
from diffusers.utils import logging as diffusers_logging
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers.utils import logging as transformers_logging

from farm.detail.enhance import CropInput
from farm.domain.detailer import Detailer, JobType
from farm.domain.model import FAMILY_NAMES, Family
from tests.unit.gpu.families import Tiny, tiny
from workers.gpu.batch import Batch
from workers.gpu.detailer import DiffusersEngine
from workers.gpu.parts import read_parts

LEFT_OUT = "the text encoder's last layer and its summary of a text, which this family never looks at"
UNSEEN = ("text 0 encoder.layers.2.", "text 0 text_projection.")
"""In the names of those tensors."""


@dataclass(frozen=True)
class Kind:
    """A sort of checkpoint."""

    family: Family
    in_channels: int = 4
    prediction: str = "epsilon"
    notes: Mapping[str, str] | None = None
    """What the file says of itself."""

    @property
    def name(self) -> str:
        """For people."""
        known: dict[str, str] = {name: text for name, text in FAMILY_NAMES.items() if name}
        extra = ", inpaint" * (self.in_channels == 9) + ", velocity" * (self.prediction == "v_prediction")
        return known[self.family] + extra


KINDS = (
    Kind("sd1"),
    Kind("sd1", 9),
    Kind("sd2"),
    Kind("sd2", prediction="v_prediction", notes={"modelspec.prediction_type": "v"}),
    Kind("sdxl"),
    Kind("sdxl", 9),
    Kind("sdxl_refiner"),
)


@dataclass(frozen=True)
class Compared:
    """A file against its folder."""

    megabytes: float
    equal: int
    """Tensors that are the same in both."""
    faults: tuple[str, ...]
    """What is not as it should be."""
    left_out: int
    """Tensors that only the file has, as it should be."""
    levels: int
    """Largest difference of the painted pictures, of 255."""


@contextmanager
def sockets_closed() -> Iterator[None]:
    """Whoever wants to connect fails."""

    def refused(*given: object, **options: object) -> NoReturn:
        raise OSError(f"sockets are closed: {given} {options}")

    with patch.object(socket.socket, "connect", refused), patch.object(socket, "getaddrinfo", refused):
        yield


def compare(kind: Kind, folder: Path) -> Compared:
    """Save a model twice, read it twice, paint with both."""
    made: Tiny = tiny(kind.family, kind.in_channels, kind.prediction)
    as_folder = made.folder(folder / "folder")
    as_file = made.single(folder / "single", dict(kind.notes) if kind.notes else None)
    with sockets_closed():
        ours, theirs = (read_parts(path, torch.float32) for path in (as_file, as_folder))
        file_tensors, folder_tensors = _tensors(ours), _tensors(theirs)
        pictures = [_painted(path, kind) for path in (as_file, as_folder)]
    both = set(file_tensors) & set(folder_tensors)
    only_file = set(file_tensors) - both
    expected_extra = {name for name in only_file if kind.family == "sd2" and any(part in name for part in UNSEEN)}
    faults = [f"{name} differs" for name in sorted(both) if not _same(file_tensors[name], folder_tensors[name])]
    faults += [f"only the file has {name}" for name in sorted(only_file - expected_extra)]
    faults += [f"only the folder has {name}" for name in sorted(set(folder_tensors) - both)]
    if ours.scheduler.get("prediction_type", "epsilon") != kind.prediction:
        faults.append(f"the file is read as predicting {ours.scheduler.get('prediction_type')}")
    levels = int(np.abs(pictures[0].astype(int) - pictures[1]).max())
    if levels:
        faults.append(f"the pictures differ by up to {levels} levels")
    size = sum(file.stat().st_size for file in as_file.glob("*.safetensors")) / 1e6
    return Compared(size, len(both), tuple(faults), len(expected_extra), levels)


def _tensors(parts: Any) -> dict[str, Tensor]:  # noqa: ANN401 - of untyped networks
    networks = {"unet": parts.unet, "vae": parts.vae}
    networks |= {f"text {number}": clip.encoder for number, clip in enumerate(parts.clips)}
    return {
        f"{part} {name.removeprefix('text_model.')}": tensor
        for part, network in networks.items()
        for name, tensor in network.state_dict().items()
    }


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def _painted(model: Path, kind: Kind) -> NDArray[np.uint8]:
    """A crop of noise, detailed by a new engine."""
    inpaint = kind.in_channels == 9
    pixels = np.random.default_rng(0).random((32, 32, 3), dtype=np.float32)
    crop = CropInput(pixels, np.ones((32, 32), dtype=np.float32), (32, 32), 3, 0)
    detailer = Detailer(steps=2, cfg=2.0, denoise=0.7, prompt="a sharp fox", negative="blurry", inpaint_model=inpaint)
    batch = Batch(JobType.MASK, detailer, (crop,), model, None, 1)
    return DiffusersEngine("cpu", "fp32", 1).detail(batch, lambda step, steps: None)[0]


def main() -> int:
    """Print the table; 0 if nothing differs."""
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()
    made = Table(title="a checkpoint in one file against its folder, read with sockets closed")
    for name in ("model", "MB", "tensors equal", "only in the file", "picture differs by", ""):
        made.add_column(name, justify="left" if name in ("model", "") else "right")
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="farm-show-") as folder:
        for number, kind in enumerate(KINDS):
            found = compare(kind, Path(folder) / str(number))
            verdict = "equal" if not found.faults else "NOT EQUAL"
            faults += [f"{kind.name}: {fault}" for fault in found.faults]
            left_out = f"{found.left_out}*" if found.left_out else "0"
            row = f"{found.megabytes:.1f}", str(found.equal), left_out, f"{found.levels} levels"
            made.add_row(kind.name, *row, verdict)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(made)
    console.print(f"* {LEFT_OUT}", markup=False)
    for fault in faults:
        console.print(fault, markup=False)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
