"""File names of ComfyUI's models folder, and the names under which the farm knows such files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from farm.comfy.findings import Findings
from farm.comfy.reader import Place
from farm.comfy.workflow import cut

KINDS = {
    "model": "model",
    "vae": "VAE",
    "lora": "LoRA",
    "motion": "motion module",
    "motion_lora": "motion LoRA",
    "controlnet": "ControlNet",
    "detector": "detector",
    "sam": "SAM",
}
"""Kind of a model -> how sentences call it."""
PICKLES = (".ckpt", ".pt", ".pth", ".bin")
SHOWN = 8
"""Names of the farm's that are told where one is missing."""
_HASH = re.compile(r"^[0-9a-f]{64}$")


@dataclass(frozen=True)
class Known:
    """A model that the farm has."""

    name: str
    kind: str


@dataclass
class Registry:
    """Finds the farm's name for a file."""

    known: Sequence[Known] | None
    """None: it is not known what the farm has; a file is then taken to be there under its own name."""
    mapped: Mapping[str, str]
    """File name, as the workflow writes it or its last part -> the farm's name; from the user."""
    used: set[str] = field(default_factory=set)
    """Those of `mapped` that were asked for."""

    def find(self, findings: Findings, place: Place, file: str, kind: str) -> str | None:
        """The farm's name for a file of ComfyUI's; None, with a problem told, if it has none."""
        told = self._mapped(file)
        if self.known is None:
            return told or farm_name(file)
        names = [model.name for model in self.known if model.kind == kind]
        if told is not None:
            if told in names or _HASH.match(told) or (kind == "detector" and told == BUILT_IN_DETECTOR):
                return told
            findings.problem(
                place.node,
                place.name,
                f"{cut(file)!r} is mapped to {cut(told)!r}, which is no {KINDS[kind]} of this farm. "
                f"{_there_is(names, kind)}",
            )
            return None
        for wanted in (_exact, _loose):
            fitting = [name for name in names if wanted(name) in {wanted(form) for form in forms(file)}]
            if fitting:
                return fitting[0]
        findings.problem(place.node, place.name, _missing(file, kind, names))
        return None

    def _mapped(self, file: str) -> str | None:
        last = _path(file).name
        for written in (file, _path(file).as_posix(), last, PurePosixPath(last).stem):
            if written in self.mapped:
                self.used.add(written)
                return self.mapped[written]
        return None


BUILT_IN_DETECTOR = "face"
"""The farm brings a detector of faces."""


def forms(file: str) -> tuple[str, ...]:
    """Names under which a file may have been added: its own, without its ending, and with its folders before it."""
    path = _path(file)
    return tuple(dict.fromkeys((path.name, farm_name(path.name), farm_name(path.as_posix().replace("/", "-")))))


def farm_name(file: str) -> str:
    """The name that `farm model add` is best given for a file: its own, in letters that names may have."""
    stem = re.sub(r"\.(safetensors|sft|ckpt|pt|pth|bin|onnx)$", "", _path(file).name, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:128] or "model"


def _path(file: str) -> PurePosixPath:
    return PurePosixPath(file.replace("\\", "/"))


def _exact(name: str) -> str:
    return name


def _loose(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.lower())


def _missing(file: str, kind: str, names: Sequence[str]) -> str:
    name, last, seen = farm_name(file), cut(_path(file).name), f"The farm has no {KINDS[kind]} for {cut(file)!r}"
    other = f"or use another: `--map {quoted(cut(file))}=NAME`. {_there_is(names, kind)}"
    if kind == "detector":
        stem = PurePosixPath(last).stem
        return f"{seen}. Export it as ONNX and add it: `farm model add {name} {stem}.onnx`, {other}"
    if kind == "sam":
        return f"{seen}. Add it as a folder in transformers' layout: `farm model add {name} FOLDER`, {other}"
    if last.lower().endswith(PICKLES):
        safe = f"{PurePosixPath(last).stem}.safetensors"
        return (
            f"{seen}, and takes no pickles, since reading them runs code. Convert it and add it: "
            f"`farm model add {name} {safe}`, {other}"
        )
    return f"{seen}. Add it: `farm model add {name} {last}`, {other}"


def _there_is(names: Sequence[str], kind: str) -> str:
    if kind == "detector":
        names = (BUILT_IN_DETECTOR, *(name for name in names if name != BUILT_IN_DETECTOR))
    if not names:
        return f"It has no {KINDS[kind]} yet."
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"It has: {', '.join(names[:SHOWN])}{more}."


def quoted(text: str) -> str:
    """A word for a shell."""
    return text if re.fullmatch(r"[\w./\\-]+", text) and "\\" not in text else "'" + text.replace("'", "") + "'"
