"""Makes `parameters.md` and `settings.md` from the models: `python -m docs.tables`. A test holds the pages to it."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from farm.domain.control import ConditioningRequest, ControlRequest, ImagePromptRequest
from farm.domain.detailer import MAX_SEED, TYPE_DEFAULTS, Detailer, JobType
from farm.domain.detection import DetectRequest
from farm.domain.hooks import KINDS
from farm.domain.job import InputRequest, JobRequest, MotionLoraRequest
from farm.domain.keyframes import Keyframes
from farm.domain.sampling_names import SAMPLERS, SCHEDULERS
from farm.domain.segment_request import SegmentRequest
from farm.settings import Settings

HERE = Path(__file__).parent
MADE = "<!-- Made by `python -m docs.tables` from the models in the code. Change those, not this page. -->"

PARAMETERS_HEAD = f"""{MADE}

# Parameters

The names are those of ComfyUI Impact Pack's `MaskDetailerPipe` and `DetailerForEachPipeForAnimateDiff`, and so are the
defaults. A parameter may be given

* for all segments: `"detailer": {{"denoise": 0.35}}` in a job's document, `--denoise 0.35` on the command line (`_`
  becomes `-`; a yes-or-no parameter has `--mask-mode` and `--no-mask-mode`);
* for one segment: beside its `name` and `mask` in the document, `--set segments.face.denoise=0.3` on the command line.

The segment's own value wins over the job's, the job's over the default. A name that is not in this table is refused.
"""

ATTACHMENTS: dict[str, type[BaseModel]] = {
    "controlnets": ControlRequest,
    "image_prompts": ImagePromptRequest,
    "conditionings": ConditioningRequest,
}

KEYFRAMES_HEAD = """Each a list of pairs, `[[1, 0.3], [120, 0.6]]`: a frame number as the clip's pictures count
(a video's first frame is 1) and the value there; the ranges are the parameters' own. What lies between:
[Steering](steering.md).
"""

HOOKS_HEAD = """`hooks` is a list of objects, applied in its order; each says its `kind`:
`--hooks '[{"kind": "denoise_schedule", "target_denoise": 0.2}]'` on the command line. Filters choose and order segments
when a chunk is planned, all others act where a crop is sampled. How to write one: [Steering](steering.md).
"""

SETTINGS_HEAD = f"""{MADE}

# Settings

Every process reads its settings once, when it starts, from variables of its environment. An empty variable counts as
not set. S3's keys are read where AWS's own tools look for them: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, files
in `~/.aws`, or the role of the machine. `farm doctor` looks at what they lead to.

The API and all workers of a farm must agree on `FARM_REDIS_URL`, on the store, and on `FARM_ENGINE` and
`FARM_TORCH_THREADS`, which have a part in the pixels.
"""

GROUPS = {
    "redis_url": "Where things are",
    "api_host": "The API and its clients",
    "engine": "The engine",
    "lease_ttl_s": "Leases and retries",
    "max_upload_bytes": "Limits",
    "rate_per_key": "How much somebody may do",
}
"""First setting of a group -> its heading."""


def parameters_page() -> str:
    """`parameters.md`."""
    differing = "; ".join(
        f"`{name}` {_value(value)} in `{kind}` jobs" for kind in JobType for name, value in TYPE_DEFAULTS[kind].items()
    )
    own = [name for name in SegmentRequest.model_fields if name not in Detailer.model_fields]
    parts = [
        PARAMETERS_HEAD,
        "## Of segments\n",
        _table("parameter", Detailer.model_fields),
        f"\nDefaults that depend on the type of job: {differing}.\n",
        "## Of a job\n",
        _table("field", JobRequest.model_fields),
        "\n## Of its `input`\n",
        _table("field", InputRequest.model_fields),
        "\n## Of each of its `segments`\n",
        "Besides the parameters above:\n",
        _table("field", {name: SegmentRequest.model_fields[name] for name in own}),
        "\n## Of its `detect`\n",
        "What a detector looks for in the clip itself: [Detectors](detectors.md). On the command line "
        "`--detect face` and, for all of them, `--detect-threshold 0.6` and so on.\n",
        _table("field", DetectRequest.model_fields),
        *(_attachment(name, kind) for name, kind in ATTACHMENTS.items()),
        "\n## Of each of its `motion_loras`\n",
        _table("field", MotionLoraRequest.model_fields),
        "\n## Of `keyframes`\n",
        KEYFRAMES_HEAD,
        _table("field", Keyframes.model_fields),
        "\n## Hooks\n",
        HOOKS_HEAD,
        *(_hook(kind) for kind in KINDS),
        "## Samplers\n",
        _listed(SAMPLERS),
        "\n## Schedulers\n",
        _listed(SCHEDULERS),
    ]
    return "\n".join(parts) + "\n"


def settings_page() -> str:
    """`settings.md`."""
    parts, group = [SETTINGS_HEAD], dict[str, FieldInfo]()
    # Its own before those that it takes over.
    names = dict.fromkeys((*Settings.__annotations__, *Settings.model_fields))
    for name, field in ((name, Settings.model_fields[name]) for name in names if name in Settings.model_fields):
        if name in GROUPS:
            parts += [_table("variable", group, _variable), ""] if group else []
            parts.append(f"## {GROUPS[name]}\n")
            group = {}
        group[name] = field
    return "\n".join([*parts, _table("variable", group, _variable)]) + "\n"


def _attachment(name: str, kind: type[BaseModel]) -> str:
    about = " ".join((kind.__doc__ or "").split())
    return f"\n## Of each of a segment's `{name}`\n\n{about}\n\n{_table('field', kind.model_fields)}"


def _hook(kind: type[BaseModel]) -> str:
    fields = {name: field for name, field in kind.model_fields.items() if name != "kind"}
    about = " ".join((kind.__doc__ or "").split())
    return f"### `{kind.model_fields['kind'].default}`\n\n{about}\n\n{_table('parameter', fields)}\n"


def _variable(name: str) -> str:
    return f"FARM_{name.upper()}"


def _table(title: str, fields: Mapping[str, FieldInfo], named: Any = str) -> str:  # noqa: ANN401 - str is a class, no plain function
    rows = [f"| {title} | default | range | meaning |", "|---|---|---|---|"]
    for name, field in fields.items():
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(f"| `{named(name)}` | {_default(field)} | {', '.join(_range(field))} | {meaning} |")
    return "\n".join(rows)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if field.default is None or field.default in ("", ()):
        return ""
    return "" if isinstance(field.default, BaseModel) else _value(field.default)


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_value, value))
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _range(field: FieldInfo) -> Iterator[str]:
    kind = _plain(field.annotation)
    if kind is bool:
        yield "`true`, `false`"
    elif get_origin(kind) is Literal:
        yield from (f"`{choice}`" for choice in get_args(kind))
    elif isinstance(kind, type) and issubclass(kind, StrEnum):
        yield from (f"`{choice}`" for choice in kind)
    elif kind in (int, float):
        yield _numbers(field)


def _numbers(field: FieldInfo) -> str:
    found = {
        bound: getattr(rule, bound)
        for rule in field.metadata
        for bound in ("ge", "gt", "le", "lt")
        if getattr(rule, bound, None) is not None
    }
    low = _number(found["ge"]) if "ge" in found else f"above {_number(found['gt'])}" if "gt" in found else ""
    high = _number(found["le"]) if "le" in found else ""
    if low and high:
        return f"{low} to {high}"
    return f"{low} or more" if low else ""


def _number(value: float) -> str:
    return "2^64 - 1" if value == MAX_SEED else f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _plain(annotation: Any) -> Any:  # noqa: ANN401 - annotations have no common type
    """The type that is meant: optional and annotated ones bare."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(_plain(part) for part in get_args(annotation) if part is not type(None))
    return _plain(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


PAGES = {HERE / "parameters.md": parameters_page, HERE / "settings.md": settings_page}


def main() -> None:
    """Write the pages."""
    for path, page in PAGES.items():
        path.write_text(page())


if __name__ == "__main__":
    main()
