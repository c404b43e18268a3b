"""The node pack, loaded as ComfyUI loads a folder of `custom_nodes`."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "comfyui"


@cache
def load_pack(folder: Path = FOLDER) -> ModuleType:
    """The folder's `__init__.py`, imported by its path under a name that is no package's: so ComfyUI does it."""
    name = str(folder).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # What is deployed is looked at file by file: nothing may be left there.
    with patch.object(sys, "dont_write_bytecode", True):
        spec.loader.exec_module(module)
    return module


def part(name: str) -> ModuleType:
    """One of its modules."""
    return sys.modules[f"{load_pack().__name__}.{name}"]


def node(name: str) -> Any:  # noqa: ANN401 - a node, as ComfyUI knows it: by its attributes
    """A node of the pack, made as ComfyUI makes it."""
    return load_pack().NODE_CLASS_MAPPINGS[name]()


def defaults(name: str) -> dict[str, Any]:
    """The widgets of a node as the page fills them in."""
    found: dict[str, Any] = {}
    types = load_pack().NODE_CLASS_MAPPINGS[name].INPUT_TYPES()
    for own, (kind, options) in {**types["required"], **types["optional"]}.items():
        if isinstance(kind, list):
            found[own] = kind[0]
        elif "default" in options:
            found[own] = options["default"]
    return found


def widgets(name: str) -> dict[str, tuple[Any, dict[str, Any]]]:
    """The inputs of a node, by name: what ComfyUI makes a socket or a widget of."""
    types = load_pack().NODE_CLASS_MAPPINGS[name].INPUT_TYPES()
    return {**types["required"], **types.get("optional", {})}
