"""What the container files say, read from them: commands, variables, volumes, health checks of each service."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it ships no types

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?:(:-|:\?)([^}]*))?\}")
_INSTRUCTION = re.compile(r"^(ENV|ENTRYPOINT|CMD|WORKDIR)\s+(.*)$", re.M)
_ASSIGNMENT = re.compile(r"(\w+)=(\S+)")


@dataclass(frozen=True)
class Service:
    """A service of the compose file, as it would be started."""

    name: str
    command: tuple[str, ...]
    """With the entry point of its image before it."""
    environment: Mapping[str, str]
    folders: Mapping[str, str]
    """Where it mounts a volume -> the volume."""
    health: tuple[str, ...]
    """Exits with 0 where it is well; empty: it has none."""
    grace_s: float
    """Between SIGTERM and SIGKILL."""


def services(variables: Mapping[str, str]) -> dict[str, Service]:
    """All services. Raises KeyError for a variable that must be set and is not."""
    compose = yaml.safe_load((DEPLOY / "compose.yml").read_text())
    return {name: _service(name, found, variables) for name, found in compose["services"].items()}


def _service(name: str, found: Mapping[str, Any], variables: Mapping[str, str]) -> Service:
    def fill(text: object) -> str:
        return _VARIABLE.sub(lambda match: _value(match, variables), str(text))

    own: dict[str, Any] = {"ENTRYPOINT": ENTRYPOINTS.get(name, ()), "ENV": {}}
    image = _image(found["build"]["dockerfile"]) if "build" in found else own
    command = found.get("command") or image.get("CMD", ())
    environment = {key: fill(value) for key, value in found.get("environment", {}).items()}
    mounts = (fill(volume).split(":") for volume in found.get("volumes", ()))
    return Service(
        name,
        (*image["ENTRYPOINT"], *map(fill, command)),
        {**image["ENV"], **environment},
        {mount[1]: mount[0] for mount in mounts},
        _health([fill(word) for word in found.get("healthcheck", {}).get("test", ())]),
        _seconds(found.get("stop_grace_period", "10s")),
    )


ENTRYPOINTS = {"s3": ("weed",)}
"""Of images that are not built here: they begin with a program of that name."""


def _image(dockerfile: str) -> dict[str, Any]:
    """What the last stage of a Dockerfile starts, and with what."""
    text = (DEPLOY.parent / dockerfile).read_text().replace("\\\n", " ")
    last = text[text.rindex("\nFROM ") :]
    found: dict[str, Any] = {"ENV": {}}
    for word, rest in _INSTRUCTION.findall(re.sub(r"#.*", "", last)):
        if word == "ENV":
            found["ENV"] |= {key: value for key, value in _ASSIGNMENT.findall(rest) if key != "PATH"}
        elif word == "WORKDIR":
            found[word] = rest.strip()
        else:
            found[word] = tuple(json.loads(rest))
    return found


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match[0] == "$$":
        return "$"
    value = variables.get(match[1], "")
    if not value and match[2] == ":?":
        raise KeyError(f"{match[1]}: {match[3]}")
    return value or (match[3] if match[2] == ":-" else "")


def _health(words: list[str]) -> tuple[str, ...]:
    if not words:
        return ()
    kind, *rest = words
    return ("sh", "-c", rest[0]) if kind == "CMD-SHELL" else tuple(rest)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)(s|m|h)", text)
    assert found, text
    return int(found[1]) * {"s": 1.0, "m": 60.0, "h": 3600.0}[found[2]]
