"""What a planned task is when it runs: without eaten frames, over the patches that there are, under its own key.

A plan's keys hold as long as nothing was split or eaten. Then a task's key is made of what it reads in truth: for a
task that was split, the key of its parts put together; for a patch that was eaten, `eaten`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from farm.domain import keys
from farm.domain.job import Job, Source
from farm.domain.plan import DetailTask, PatchRef, Plan
from farm.domain.task_keys import detail_key

EATEN = "eaten"
"""Output of a task that was eaten, and what stands for its patches in the keys of those that would read them."""


@dataclass(frozen=True)
class Effective:
    """A detail task as it runs."""

    task: DetailTask
    """With the crops that are left, and its key."""
    members: tuple[int, ...]
    """Of each crop: its number in the planned task, by which others refer to its patch."""

    @property
    def planned(self) -> bool:
        """Whether all of its crops are left."""
        return self.members == tuple(range(len(self.members)))


def without(task: DetailTask, eaten: Collection[int]) -> Effective:
    """The task without its crops of eaten frames, given by position; under the planned key still."""
    left = [(number, crop) for number, crop in enumerate(task.crops) if crop.frame not in eaten]
    crops = tuple(crop for _, crop in left)
    return Effective(task.model_copy(update={"crops": crops}), tuple(number for number, _ in left))


def effective_key(
    job: Job,
    plan: Plan,
    found: Effective,
    outputs: Mapping[str, str],
    has: Callable[[PatchRef], bool],
    masks: Sequence[str],
    after: str = "",
) -> str:
    """The key of a task by what it reads.

    Args:
        outputs: of the tasks that it waits for.   has: whether a patch is there.   masks: digests, by index.
        after: key of the task whose hooks' state is taken up.
    """
    source = _as_planned(job, found.task)

    def below(ref: PatchRef) -> object:
        if not has(ref):
            return EATEN
        under = plan.task(ref.task)
        mask = masks[under.crops[ref.crop].mask]
        return keys.key_of(outputs[ref.task]), ref.crop, mask, _as_planned(job, under).detailer.feather

    crops = found.task.crops
    frames = {frame.position: frame.digest for frame in plan.frames}
    key = detail_key(job, source, crops, [[below(ref) for ref in crop.under] for crop in crops], frames, masks, after)
    # Others ask for its patches by the numbers of the planned crops.
    return key if found.planned else keys.content_key("members", {"of": key, "members": found.members})


def _as_planned(job: Job, task: DetailTask) -> Source:
    """The parameters that a task was planned with."""
    return job.source(task.source, task.piece).with_values(task.values.items())


def together_key(parts: Sequence[str]) -> str:
    """The key of the patches of a split task, put together.

    Args:
        parts: key of each part, or `eaten`.
    """
    return keys.content_key("parts", {"parts": list(parts)})
