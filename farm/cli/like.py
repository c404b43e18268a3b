"""A job made from another one, as it is typed: `--like JOB` and what is to be different."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import JsonValue

from farm.cli.draft import FARM_ADDRESSES, assignment, named
from farm.cli.options import Given
from farm.cli.typed import What, as_json, separated
from farm.domain.like import LikeRequest
from farm.errors import Rejected

FILES = ("uri", "mask", "segs", "image")
"""Last parts of paths whose values are addresses."""
MODELS = ("model", "refiner", "vae")


def typed_like(source: str | None, what: Given, clip: Given, job: Given, detailer: Given, detect: Given) -> LikeRequest:
    """The request of all that was typed beside `--like`; addresses as they were typed. Raises Rejected."""
    typed = What.model_validate(what)
    if typed.document is not None:
        raise Rejected("--like and --job both say what the job is. Leave one of them out.")
    changes: dict[str, JsonValue] = {}
    if source is not None:
        changes["input.uri"] = source
    if "fps" in clip:
        changes["input.fps"] = clip["fps"]
    for kind, texts in (("mask", typed.mask), ("segs", typed.segs)):
        for text in texts:
            name, address = named(text)
            changes[f"segments.{name}.{kind}"] = address
    if typed.detect or detect:
        raise Rejected(
            "With --like, say what is another of a detector by its path: --set segments.face.detect.threshold=0.6."
        )
    given = {**job, **as_json(detailer)}
    changes |= {name: str(value) if name == "type" else value for name, value in given.items()}
    for name in {"outputs", "loras"} & changes.keys():
        changes[name] = list(separated(changes[name]))
    if str(changes.get("chunk", "")).isdigit():
        changes["chunk"] = int(str(changes["chunk"]))
    changes |= dict(assignment(text) for text in typed.assign)
    return LikeRequest.model_validate({"like": typed.like, "set": changes, "frames": clip.get("frames")})


def handed_in(request: LikeRequest, media: Callable[[str, str], str], model: Callable[[str], str]) -> LikeRequest:
    """The request with its files handed in.

    Args:
        media: from a path and what it is for to an address that the farm can read.
        model: from a name, a hash, a folder or a file to a name or hash that the farm knows.
    """

    def address(path: str, value: JsonValue) -> JsonValue:
        last = path.rpartition(".")[2]
        if isinstance(value, str) and last in FILES and not value.startswith(FARM_ADDRESSES):
            return media(value, path)
        return model(value) if isinstance(value, str) and last in MODELS else value

    return request.model_copy(update={"set": {path: address(path, value) for path, value in request.set.items()}})
