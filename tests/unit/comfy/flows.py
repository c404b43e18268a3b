"""Workflows for tests: the exported ones of the shows, changed here and there."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

from farm.comfy.pictures import FileUse
from farm.comfy.registry import Known
from farm.comfy.translate import Asked, Translation, translate

FOLDER = Path(__file__).resolve().parents[2] / "shows" / "comfy"
KNOWN = (
    *(Known(name, "model") for name in ("dreamshaper_8", "xl_base", "xl_refiner")),
    *(Known(name, "lora") for name in ("style", "sharp")),
    Known("v3_sd15_mm", "motion"),
    Known("pan_left", "motion_lora"),
    Known("mse", "vae"),
    Known("openpose", "controlnet"),
)
Flow = dict[str, dict[str, Any]]


@cache
def _text(name: str) -> str:
    return (FOLDER / f"{name}.json").read_text()


def flow(name: str = "mask_detailer") -> Flow:
    """One of the exported workflows, to be changed."""
    found: Flow = json.loads(_text(name))
    return found


def add(made: Flow, name: str, class_type: str, **inputs: Any) -> Flow:  # noqa: ANN401 - any JSON
    """Put a node into a workflow, in place of one of the same id."""
    made[name] = {"class_type": class_type, "inputs": copy.deepcopy(inputs), "_meta": {"title": class_type}}
    return made


def inputs(made: Flow, name: str) -> dict[str, Any]:
    """The inputs of a node."""
    found: dict[str, Any] = made[name]["inputs"]
    return found


def found(use: FileUse) -> str:
    """Every file is there."""
    return f"/files/{use.name}|{use.channel}{'|inverted' if use.inverted else ''}"


def read(made: object, **asked: Any) -> Translation:  # noqa: ANN401 - fields of Asked
    """What becomes of a workflow on a farm that has what the exported ones name."""
    return translate(made, Asked(**{"frames": "clip.mp4", "find": found, **asked}), KNOWN)


def segment(made: Flow, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of Asked
    """The only segment of a workflow that can be carried."""
    (one,) = read(made, **asked).request()["segments"]
    assert isinstance(one, dict)
    return one


def problems(made: object, **asked: Any) -> list[str]:  # noqa: ANN401 - fields of Asked
    """Why it cannot be carried."""
    return [str(problem) for problem in read(made, **asked).problems]


def only_problem(made: object, **asked: Any) -> str:  # noqa: ANN401 - fields of Asked
    """The same, where there is one reason and no more."""
    told = problems(made, **asked)
    assert len(told) == 1, told
    return told[0]


def notes(made: object, **asked: Any) -> str:  # noqa: ANN401 - fields of Asked
    """What is told besides."""
    return "\n".join(map(str, read(made, **asked).notes))
