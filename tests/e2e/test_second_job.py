"""What a job renders that another has rendered already: nothing but what a change touches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from farm.domain.detailer import REPAINTING, JobType
from farm.domain.plan import Plan
from farm.ports import JobStatus
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.reference import differing, final_frames
from tests.e2e.shots import Handed, Shot, hand_in, request


class Rendered:
    """A farm on which the plain job has run."""

    def __init__(self, farm: AnyOrderFarm, handed: Handed, job_type: JobType) -> None:
        self.farm, self._handed, self._type = farm, handed, job_type
        self.first = self.run()

    def run(self, prompts: Mapping[str, str] | None = None, **changes: Any) -> JobStatus:  # noqa: ANN401 - fields of the request
        """Another job over the same segments."""
        self.farm.ran.clear()
        return self.farm.run(request(self._handed, self._type, prompts=prompts, **changes))

    def detailed(self) -> list[str]:
        """Detail tasks that the last job ran."""
        return [task for task in self.farm.ran if task.startswith("detail.")]

    def sources(self, job: str, tasks: list[str]) -> set[str]:
        """The segments that these tasks of a job belong to."""
        found = set()
        for name in self.farm.blobs.list(f"jobs/{job}/plans/"):
            plan = Plan.model_validate_json(self.farm.blobs.get(name))
            found |= {task.source for task in plan.tasks if task.id in tasks}
        return found


@pytest.fixture(scope="module", params=REPAINTING)
def rendered(
    request: pytest.FixtureRequest, shot: Shot, handed: Handed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rendered]:
    """For both types of job."""
    with AnyOrderFarm(tmp_path_factory.mktemp("rendered")) as farm:
        hand_in(shot, farm)
        yield Rendered(farm, handed, request.param)


def test_the_same_job_again_renders_nothing(rendered: Rendered) -> None:
    patches = set(rendered.farm.blobs.list("patches/"))
    again = rendered.run()
    assert rendered.detailed() == []
    assert (again.cache_hits, again.cache_misses) == (rendered.first.cache_misses, 0)
    assert set(rendered.farm.blobs.list("patches/")) == patches
    frames = [final_frames(rendered.farm.blobs, status.facts.id) for status in (rendered.first, again)]
    assert differing(*frames) == []


def test_a_changed_prompt_renders_its_own_segment_and_not_the_disjoint_ones(rendered: Rendered) -> None:
    changed = rendered.run({"right": "something else"})
    tasks = rendered.detailed()
    assert rendered.sources(changed.facts.id, tasks) == {"right"}
    assert len(tasks) == changed.cache_misses
    assert changed.cache_hits + changed.cache_misses == rendered.first.cache_misses


def test_what_reads_a_changed_segment_is_rendered_too_and_no_more(rendered: Rendered) -> None:
    changed = rendered.run({"left": "something else"})
    assert rendered.sources(changed.facts.id, rendered.detailed()) == {"left", "over"}
    changed = rendered.run({"over": "something else"})
    assert rendered.sources(changed.facts.id, rendered.detailed()) == {"over"}


def test_other_outputs_and_another_priority_render_nothing(rendered: Rendered) -> None:
    again = rendered.run(priority=90, name="another name", outputs=("cropped",))
    assert rendered.detailed() == []
    assert again.cache_misses == 0
