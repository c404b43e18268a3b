"""Packages that add to the farm, as an installer would leave them: a module and its metadata on the path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

COUNTING = """
import numpy as np
from farm.detail.hooks import DetailerHook


class Counting(DetailerHook):
    pure, version = False, "1"

    def __init__(self, parameters):
        self.step = float(parameters.get("step", 0.01))
        self.count = 0

    def post_decode(self, pictures):
        self.count += 1
        return [np.clip(picture - self.step * self.count, 0, 1) for picture in pictures]

    def post_paste(self, picture):
        picture[:2, :4] = (self.count % 256) / 255
        return picture

    def state(self):
        return str(self.count).encode()

    def restore(self, state):
        self.count = int(state)


class Softening(DetailerHook):
    pure, version = True, "3"

    def __init__(self, parameters):
        self.share = float(parameters["share"])

    def post_decode(self, pictures):
        return [picture * (1 - self.share) + 0.5 * self.share for picture in pictures]


class Nameless:
    pass
"""
"""A hook that counts the crops of its job and shows the count in them and in each frame's corner, and a pure one."""


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, group: str, names: Mapping[str, str], module: str
) -> None:
    """Put a module and the metadata that names its entry points onto the path.

    Args:
        names: entry point -> attribute of the module.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(code)
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [f"{name} = {module}:{attribute}" for name, attribute in names.items()]
    (about / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    monkeypatch.syspath_prepend(str(folder))


def install_hooks(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str = "farm_test_hooks") -> None:
    """The hooks above, as `counting`, `softening` and, unusable, `nameless` and `missing`."""
    names = {"counting": "Counting", "softening": "Softening", "nameless": "Nameless", "missing": "Missing"}
    install(folder, monkeypatch, COUNTING, "farm.hooks", names, module)
