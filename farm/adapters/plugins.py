"""Installed packages that add to the farm: detailer hooks and preprocessors, found by name among entry points.

A package names them in its metadata:

    [project.entry-points."farm.hooks"]
    soften = "my_package:Soften"

    [project.entry-points."farm.preprocessors"]
    depth = "my_package:Depth"

What a name stands for has a `version` (a string; raise it whenever pixels change), a hook also `pure` (a bool). Called
with the job's parameters, a hook gives a `farm.detail.hooks.DetailerHook` for one batch, a preprocessor a
`farm.detail.preprocess.Preprocess`. The API reads `pure` and `version` alone: a package had better import torch only
when it is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from pydantic import JsonValue

from farm.detail.hooks import DetailerHook
from farm.detail.preprocess import Preprocess, canny, unchanged
from farm.domain.attachments import Packages
from farm.domain.control import Canny, PluginPreprocessor, Preprocessor
from farm.domain.hooks import HookFacts, PluginHook
from farm.errors import NotFound, Rejected, Unavailable

HOOKS = "farm.hooks"
PREPROCESSORS = "farm.preprocessors"


class HookPlugin(Protocol):
    """What an entry point of `farm.hooks` stands for: a class will do, or a function with two attributes."""

    pure: bool
    """A hook object sees one segment of one frame, keeps nothing for the next, and changes no pixel when it is
    pasted."""
    version: str

    def __call__(self, parameters: Mapping[str, JsonValue]) -> DetailerHook[Any]:
        """A hook for one batch. Raises ValueError or TypeError for parameters that it cannot use."""


class BadPlugin(Rejected):
    """An installed package does not keep to what the farm asks of it."""

    def __init__(self, group: str, name: str, fault: str) -> None:
        super().__init__(f"The entry point {name!r} of {group!r} cannot be used: {fault}. Repair the package.")


class NotInstalledHere(Unavailable):
    """This worker lacks a package that the job needs."""

    def __init__(self, group: str, name: str, wanted: str, found: str) -> None:
        super().__init__(
            f"The job needs {name!r} of {group!r} in version {wanted!r}; this worker has {found}. Install the same "
            f"package on every worker."
        )


def hook_facts(name: str) -> HookFacts:
    """What an installed hook says of itself. Raises NotFound, BadPlugin."""
    plugin = _load(HOOKS, name)
    pure, version = getattr(plugin, "pure", None), getattr(plugin, "version", None)
    if not isinstance(pure, bool) or not isinstance(version, str):
        raise BadPlugin(HOOKS, name, "it has no `pure` (True or False) and `version` (text)")
    return HookFacts(pure, version)


def open_hook(spec: PluginHook) -> DetailerHook[Any]:
    """A hook's object for one batch.

    Raises:
        NotInstalledHere: another worker may have it.
        BadPlugin.   Rejected: its parameters are wrong.
    """
    try:
        found = hook_facts(spec.name).version
    except NotFound:
        raise NotInstalledHere(HOOKS, spec.name, str(spec.version), "none") from None
    if found != spec.version:
        raise NotInstalledHere(HOOKS, spec.name, str(spec.version), repr(found))
    try:
        hook = _load(HOOKS, spec.name)(spec.parameters)
    except (ValueError, TypeError, KeyError) as error:
        raise Rejected(f"The hook {spec.name!r} cannot use its parameters: {error!r}. Change `parameters`.") from error
    if not isinstance(hook, DetailerHook):
        raise BadPlugin(HOOKS, spec.name, f"it made a {type(hook).__name__}, not a DetailerHook")
    return hook


def preprocessor_version(name: str) -> str:
    """What an installed preprocessor says of itself. Raises NotFound, BadPlugin."""
    version = getattr(_load(PREPROCESSORS, name), "version", None)
    if not isinstance(version, str):
        raise BadPlugin(PREPROCESSORS, name, "it has no `version` (text)")
    return version


def open_preprocessor(spec: Preprocessor) -> Preprocess:
    """What makes control pictures. Raises as `open_hook`."""
    if isinstance(spec, Canny):
        return canny(spec.low_threshold, spec.high_threshold)
    if not isinstance(spec, PluginPreprocessor):
        return unchanged
    try:
        found = preprocessor_version(spec.name)
    except NotFound:
        raise NotInstalledHere(PREPROCESSORS, spec.name, str(spec.version), "none") from None
    if found != spec.version:
        raise NotInstalledHere(PREPROCESSORS, spec.name, str(spec.version), repr(found))
    try:
        opened: Preprocess = _load(PREPROCESSORS, spec.name)(spec.parameters)
    except (ValueError, TypeError, KeyError) as error:
        what = f"The preprocessor {spec.name!r} cannot use its parameters: {error!r}"
        raise Rejected(f"{what}. Change `parameters`.") from error
    return opened


def installed() -> Packages:
    """All that is installed here."""
    return Packages(hook_facts, preprocessor_version)


def _load(group: str, name: str) -> Any:  # noqa: ANN401 - whatever a package has put there
    found = {entry.name: entry for entry in entry_points(group=group)}
    if name not in found:
        names = ", ".join(sorted(found)) or "none is installed"
        raise NotFound(f"There is no {name!r} among the entry points {group!r} of this farm: {names}.")
    return _loaded(found[name], group)


def _loaded(entry: EntryPoint, group: str) -> Any:  # noqa: ANN401 - whatever a package has put there
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise BadPlugin(group, entry.name, f"{entry.value} cannot be imported ({error})") from error
