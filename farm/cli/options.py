"""Command line options made from the domain's models, so that names, ranges and help are written once."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

Given = dict[str, Any]
"""The options of a group that were given, by field name; those left out are not in it."""


@dataclass(frozen=True)
class OptionGroup:
    """Fields of a model that become options."""

    model: type[BaseModel]
    panel: str
    """Heading in the help."""
    fields: tuple[str, ...] = ()
    """Empty: all fields."""
    plain_flags: bool = False
    """Yes-or-no options can only be set, as there is nothing that could have set them before."""
    prefix: str = ""
    """Stands before the fields' names: `detect` makes `--detect-threshold` of `threshold`."""

    def names(self) -> Iterable[str]:
        """The fields, in the order of the help."""
        return self.fields or tuple(self.model.model_fields)

    def option(self, name: str) -> str:
        """The option's parameter, from its field."""
        return f"{self.prefix}_{name}" if self.prefix else name


def generated(**groups: OptionGroup) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of models; the parameter of a group's name receives what was given of it.

    An option that is not given is not sent, so that the job's type and other layers keep their defaults.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def command(**values: Any) -> None:  # noqa: ANN401 - whatever the options parse to
            for name, group in groups.items():
                given = {field: values.pop(group.option(field)) for field in group.names()}
                values[name] = {field: value for field, value in given.items() if value not in (None, [])}
            function(**values)

        own = inspect.signature(function, eval_str=True)
        parameters = [parameter for parameter in own.parameters.values() if parameter.name not in groups]
        for group in groups.values():
            parameters += [_parameter(group, name) for name in group.names()]
        ordered = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        vars(command)["__signature__"] = inspect.Signature(ordered)
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in ordered}
        return command

    return decorate


def _parameter(group: OptionGroup, name: str) -> inspect.Parameter:
    field = group.model.model_fields[name]
    kind = _plain(field.annotation)
    low, high = _bounds(field)
    flag = "--" + group.option(field.alias or name).replace("_", "-")
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if kind is bool and not group.plain_flags else flag,
        help=" ".join((field.description or "").split()),
        min=low if kind in (int, float) else None,
        max=high if kind in (int, float) else None,
        show_default=_shown(field),
        rich_help_panel=group.panel,
    )
    annotation = Annotated[kind | None, option]  # type: ignore[valid-type]  # a type made at run time
    return inspect.Parameter(group.option(name), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _plain(annotation: Any) -> Any:  # noqa: ANN401 - annotations have no common type
    """The type that the command line parses: optional ones bare, what may be of several kinds as text, lists of names
    as text with commas, models as JSON."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [_plain(part) for part in get_args(annotation) if part is not type(None)]
        return kinds[0] if len(kinds) == 1 else str
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) is tuple:
        return str
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return str
    if get_origin(annotation) in (Literal, list) or isinstance(annotation, type):
        return annotation
    raise TypeError(f"{annotation} cannot be an option")


def _bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    low = next((rule.ge for rule in field.metadata if hasattr(rule, "ge")), None)
    high = next((rule.le for rule in field.metadata if hasattr(rule, "le")), None)
    return low, high


def _shown(field: FieldInfo) -> str | bool:
    value = field.default
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or False
    return str(value) if value not in (None, "", [], PydanticUndefined) else False
