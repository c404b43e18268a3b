"""From detailer nodes that were read to a job's request: names of the farm's models, addresses of files, segments."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from farm.comfy.detailers import Detailed
from farm.comfy.detectors import Detection
from farm.comfy.findings import Findings
from farm.comfy.pictures import FileUse, Find
from farm.comfy.reader import Place
from farm.comfy.registry import Registry
from farm.comfy.segs import Net, SegsSource
from farm.comfy.workflow import Node, cut
from farm.domain.assign import Draft
from farm.domain.detailer import JobType
from farm.domain.job import JobRequest
from farm.domain.sampling_names import check_names
from farm.domain.wildcards import check as check_wildcard
from farm.errors import Rejected

UNKNOWN = "upload:"
"""Stands for an address that is missing, which was told, so that all else is checked nevertheless."""
_NAME = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass
class Drafting:
    """Makes a request of what was read."""

    registry: Registry
    findings: Findings
    find: Find
    origins: dict[tuple[int, str], Place] = field(default_factory=dict)
    """Number of a segment, and its parameter -> where it comes from."""

    def segments(self, read: Sequence[Detailed]) -> list[Draft]:
        """The segments of all detailers, in the order in which they are pasted."""
        made: list[Draft] = []
        for one in read:
            for number, source in enumerate(one.sources):
                name = _segment_name(one.node, number if len(one.sources) > 1 else None, made)
                made.append(self._segment(one, source, name, len(made)))
        return made

    def _segment(self, one: Detailed, source: SegsSource, name: str, index: int) -> Draft:
        made: Draft = {"name": name}
        if source.detection is not None:
            made["detect"] = self._detect(source.detection, index)
        else:
            made["mask"] = self._address(source.mask) if source.mask is not None else UNKNOWN
        for place, text in filter(None, (one.drawn.positive.text, one.drawn.negative.text)):
            parameter = "prompt" if (place, text) == one.drawn.positive.text else "negative"
            made[parameter] = text
            self.origins[index, parameter] = place
        for parameter, (place, value) in {**one.values, **source.values, **_windows(one)}.items():
            made[parameter] = value
            self.origins[index, parameter] = place
        if one.drawn.clip_skip is not None:
            node, made["clip_skip"] = one.drawn.clip_skip
            self.origins[index, "clip_skip"] = Place(node, "stop_at_clip_layer")
        self._lists(one, source, made, index)
        return made

    def _lists(self, one: Detailed, source: SegsSource, made: Draft, index: int) -> None:
        loras = []
        for lora in one.drawn.loras:
            known = self.registry.find(self.findings, lora.place, lora.file, "lora")
            if known is not None:
                loras.append({"model": known, "weight": lora.weight, "clip_weight": lora.clip_weight})
            self.origins.setdefault((index, "loras"), lora.place)
        hooks = [*source.filters, *one.hooks]
        if loras:
            made["loras"] = loras
        if hooks:
            made["hooks"] = [found.hook for found in hooks]
            self.origins[index, "hooks"] = Place(hooks[0].node, "")
        if source.nets:
            made["controlnets"] = [net for each in source.nets if (net := self._net(each)) is not None]
            self.origins[index, "controlnets"] = Place(source.nets[0].node, "")
        further = [(prompt, False) for prompt in one.drawn.positive.further]
        further += [(prompt, True) for prompt in one.drawn.negative.further]
        if further:
            made["conditionings"] = [
                {
                    "prompt": prompt.text,
                    "strength": prompt.strength,
                    "negative": negative,
                    "mask": self._address(prompt.mask),
                }
                for prompt, negative in further
            ]
            self.origins[index, "conditionings"] = Place(further[0][0].node, "")

    def _detect(self, found: Detection, index: int) -> Draft:
        made: Draft = {name: value for name, (_, value) in found.fields.items()}
        self.origins |= {(index, f"detect.{name}"): place for name, (place, _) in found.fields.items()}
        self.origins[index, "detect"] = Place(found.node, "")
        # Impact's detectors look at each picture by itself: nothing is followed, no gap is filled.
        made["track"] = False
        for name, named in (("detector", found.detector), ("sam", found.sam)):
            known = self.registry.find(self.findings, *named, name) if named else None
            if known is not None:
                made[name] = known
        return made

    def _net(self, net: Net) -> Draft | None:
        known = self.registry.find(self.findings, *net.file, "controlnet")
        if known is None:
            return None
        return {"model": known, **net.values, **({"image": self._address(net.image)} if net.image else {})}

    def _address(self, use: FileUse) -> str:
        if use.address:
            return use.address
        try:
            found = self.find(use)
        except Rejected as error:
            self.findings.problem(use.node, use.input, str(error))
            return UNKNOWN
        if found is None:
            self.findings.problem(
                use.node,
                use.input,
                f"It names the {'folder' if use.folder else 'file'} {cut(use.name)!r}, which was not found. Put it "
                f"beside the workflow, say where ComfyUI's input folder is (--files FOLDER), or give it: "
                f"--mask {use.node.id}=PATH.",
            )
            return UNKNOWN
        self.findings.carry(use.node, f"the file {cut(use.name)}")
        return found

    # --- what the whole job has once ---

    def models(self, one: Detailed) -> Draft:
        """The models that a detailer is drawn with, as fields of a job."""
        made: Draft = {}
        checkpoint = one.drawn.model.checkpoint
        wanted: list[tuple[str, str, tuple[Place, str] | None]] = [
            ("model", "model", (Place(checkpoint[0], "ckpt_name"), checkpoint[1]) if checkpoint else None),
            ("vae", "vae", one.drawn.vae),
            ("refiner", "model", one.refiner),
        ]
        motion = one.drawn.model.motion if one.spec.job_type is JobType.ANIMATEDIFF else None
        if motion is not None:
            wanted.append(("motion", "motion", motion.module))
        for name, kind, named in wanted:
            known = self.registry.find(self.findings, *named, kind) if named is not None else None
            if known is not None:
                made[name] = known
        loras = [
            {"model": known, "strength": strength}
            for place, file, strength in (motion.loras if motion else ())
            if (known := self.registry.find(self.findings, place, file, "motion_lora")) is not None
        ]
        for place, _, _ in motion.loras if motion else ():
            self.findings.carry(place.node, "a motion LoRA of the job")
        return {**made, "motion_loras": loras} if loras else made

    # --- whether it can be ---

    def check(self, draft: Draft) -> None:
        """Tell of every value that a job cannot have, at the node that it comes from."""
        for index, segment in enumerate(draft["segments"]):
            self._check_texts(index, segment)
        try:
            JobRequest.model_validate(draft)
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_context=False):
                # Segments that are faulty are told of; that too few are left follows.
                if fault["loc"] != ("segments",):
                    self._fault(fault["loc"], fault["msg"], fault["input"])

    def _check_texts(self, index: int, segment: Draft) -> None:
        """What is checked at submit by other means than a range."""
        checks: tuple[tuple[str, Callable[[str], None]], ...] = (
            ("sampler_name", lambda text: check_names(text, "normal")),
            ("scheduler", lambda text: check_names("euler", text)),
            ("wildcard", lambda text: check_wildcard(segment["name"], text)),
        )
        for parameter, check in checks:
            try:
                if parameter in segment:
                    check(segment[parameter])
            except Rejected as error:
                place = self.origins.get((index, parameter))
                self.findings.problem(place.node if place else None, place.name if place else "", str(error))

    def _fault(self, loc: tuple[int | str, ...], said: str, value: object) -> None:
        place = None
        if len(loc) > 2 and loc[0] == "segments" and isinstance(loc[1], int):
            inner = f"{loc[2]}.{loc[3]}" if len(loc) > 3 else ""
            place = self.origins.get((loc[1], inner)) or self.origins.get((loc[1], str(loc[2])))
            loc = loc[2:]
        field_name = ".".join(map(str, loc))
        seen = f" is {cut(repr(value))}, and" if isinstance(value, (str, int, float)) else ""
        reason = said.removeprefix("Value error, ").rstrip(".")
        text = f"`{field_name}`{seen} cannot be so on the farm: {reason}. Change it."
        self.findings.problem(place.node if place else None, place.name if place else "", text)


def _windows(one: Detailed) -> dict[str, tuple[Place, Any]]:
    motion = one.drawn.model.motion
    if motion is None or one.spec.job_type is not JobType.ANIMATEDIFF:
        return {}
    return {name: (Place(node, own), value) for name, (node, own, value) in motion.windows.items()}


def _segment_name(node: Node, number: int | None, before: Sequence[Draft]) -> str:
    """A name for a segment, from the title that somebody gave its node, or from its id."""
    given = _NAME.sub("_", node.title).strip("_-") if node.title != node.class_type else ""
    base = (given if given and given[0].isalnum() else "node_" + _NAME.sub("_", node.id).strip("_"))[:50]
    base = f"{base}-{number + 1}" if number is not None else base
    taken = {segment["name"] for segment in before}
    return next(name for name in (base, *(f"{base}_{n}" for n in range(2, 99_999))) if name not in taken)
