"""What is rendered again when a parameter changes, and when one is added: nothing that need not be."""

from __future__ import annotations

from typing import Any

import pytest

from farm.domain.control import Canny
from farm.domain.detailer import REPAINTING, Detailer, JobType
from farm.domain.hooks import DenoiseSchedule, Hook, OrderedFilter, PluginHook, Preview
from farm.domain.job import Conditioning, Control, ImagePrompt
from farm.domain.model import ModelRef
from farm.domain.task_keys import ALWAYS_IN_KEY, NOT_IN_KEY, detailer_part
from tests.jobs import media
from tests.unit.domain.layouts import Layout

FIRST_KEYS = {
    JobType.MASK: "11d65d63ef7bfe6bd76bec93627017532ec2ddb9d5e6aabcdf61d087e866e2f7",
    JobType.ANIMATEDIFF: "5e8d4dd88f64107ee3b580f50cf8b35b16fd43b652fb5eb1619b14a7b34ef679",
}
"""Of the first task of layout 3, as the first version made them."""


@pytest.mark.parametrize("job_type", REPAINTING)
def test_parameters_that_came_later_leave_the_keys_of_jobs_that_do_not_set_them(job_type: JobType) -> None:
    assert Layout(3, job_type).plan().plan.tasks[0].key == FIRST_KEYS[job_type]


def test_every_parameter_is_in_the_key_reaches_it_otherwise_or_is_left_out_at_its_default() -> None:
    assert not ALWAYS_IN_KEY & NOT_IN_KEY
    assert set(detailer_part(Detailer())) == ALWAYS_IN_KEY
    later = set(Detailer.model_fields) - ALWAYS_IN_KEY - NOT_IN_KEY
    assert "hooks" in later


@pytest.mark.parametrize(
    ("hook", "counts"),
    [
        (DenoiseSchedule(), True),
        (PluginHook(name="x", pure=True, version="1"), True),
        (Preview(), False),
        (OrderedFilter(), False),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_hooks_are_in_the_key_if_they_decide_pixels_by_themselves(hook: Hook, counts: bool) -> None:
    assert (detailer_part(Detailer(hooks=(hook,))) != detailer_part(Detailer())) == counts


def test_a_hooks_parameters_and_version_are_in_the_key() -> None:
    hooks: list[Hook] = [
        DenoiseSchedule(),
        DenoiseSchedule(target_denoise=0.3),
        PluginHook(name="x", pure=True, version="1"),
        PluginHook(name="x", pure=True, version="2"),
        PluginHook(name="x", pure=True, version="2", parameters={"a": 1}),
    ]
    parts = [str(detailer_part(Detailer(hooks=(hook,)))) for hook in hooks]
    assert len(set(parts)) == len(parts)


def test_what_steers_a_segment_is_in_the_key_and_its_names_are_not() -> None:
    def key(**source: object) -> str:
        layout = Layout(3)
        layout.job = layout.job.model_copy(
            update={"sources": (layout.job.sources[0].model_copy(update=source), *layout.job.sources[1:])}
        )
        return layout.plan().plan.tasks[0].key

    def net(model_hash: str = "a", name: str = "n", **values: Any) -> dict[str, object]:  # noqa: ANN401 - of Control
        return {"controls": (Control(model=ModelRef(name=name, hash=model_hash), **values),)}

    def prompt(text: str = "hat", mask: str = "m", **values: Any) -> dict[str, object]:  # noqa: ANN401 - likewise
        return {"conditionings": (Conditioning(prompt=text, mask=media(mask), **values),)}

    def picture(model_hash: str = "a", image: str = "i", **values: Any) -> dict[str, object]:  # noqa: ANN401 - likewise
        model = ModelRef(name="n", hash=model_hash)
        return {"image_prompts": (ImagePrompt(model=model, image=media(image), **values),)}

    different = [
        {},
        net(),
        net("b"),
        net(strength=0.5),
        net(end_percent=0.5),
        net(preprocessor=Canny()),
        net(image=media("x")),
        prompt(),
        prompt("cap"),
        prompt(strength=2),
        prompt(negative=True),
        picture(),
        picture("b"),
        picture(weight=0.5),
        picture(context_crop_factor=None),
    ]
    keys = [key(**source) for source in different]
    assert len(set(keys)) == len(keys)
    assert key(**net(name="other")) == key(**net())
    # Their pixels are named by the crops.
    assert key(**prompt(mask="other")) == key(**prompt())
    assert key(**picture(image="other")) == key(**picture())
