"""`python -m tests.shows.second_job`: the same job again, and with the prompt of one segment changed."""

from __future__ import annotations

import sys
from collections import Counter

from farm.domain.detailer import REPAINTING
from farm.domain.plan import Plan
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.shots import hand_in, request
from tests.shows.stage import say, stage


def sources(farm: AnyOrderFarm, job: str) -> dict[str, str]:
    """Detail task -> segment."""
    plans = [Plan.model_validate_json(farm.blobs.get(name)) for name in farm.blobs.list(f"jobs/{job}/plans/")]
    return {task.id: task.source for plan in plans for task in plan.tasks}


def main() -> int:
    """Print what each job renders. `over` lies partly on `left`, `right` lies apart."""
    with stage() as here:
        shot = here.shot()
        for job_type in REPAINTING:
            say(f"{job_type.value} job with the segments left, over (partly on left) and right (apart)")
            with AnyOrderFarm(here.new("order")) as farm:
                handed = hand_in(shot, farm)
                for name, prompts in (
                    ("first", None),
                    ("the same again", None),
                    ("prompt of `right` changed", {"right": "another"}),
                    ("prompt of `over` changed", {"over": "another"}),
                    ("prompt of `left` changed", {"left": "another"}),
                ):
                    farm.ran.clear()
                    status = farm.run(request(handed, job_type, prompts=prompts))
                    of = sources(farm, status.facts.id)
                    ran = Counter(of[task] for task in farm.ran if task.startswith("detail."))
                    what = ", ".join(f"{source} {count}" for source, count in sorted(ran.items())) or "nothing"
                    say(f"  {name:28} hits {status.cache_hits:3}  misses {status.cache_misses:3}  rendered: {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
