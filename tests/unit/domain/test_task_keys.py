"""What is rendered again when a parameter changes, and when one is added: nothing that need not be."""

from __future__ import annotations

import pytest

from farm.domain.detailer import Detailer, JobType
from farm.domain.hooks import DenoiseSchedule, Hook, OrderedFilter, PluginHook, Preview
from farm.domain.task_keys import ALWAYS_IN_KEY, NOT_IN_KEY, detailer_part
from tests.unit.domain.layouts import Layout

FIRST_KEYS = {
    JobType.MASK: "11d65d63ef7bfe6bd76bec93627017532ec2ddb9d5e6aabcdf61d087e866e2f7",
    JobType.ANIMATEDIFF: "5e8d4dd88f64107ee3b580f50cf8b35b16fd43b652fb5eb1619b14a7b34ef679",
}
"""Of the first task of layout 3, as the first version made them."""


@pytest.mark.parametrize("job_type", list(JobType))
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
