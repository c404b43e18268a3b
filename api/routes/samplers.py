"""The names that `sampler_name` and `scheduler` may have, for forms."""

from __future__ import annotations

from fastapi import APIRouter

from api.problems import RESPONSES
from api.shapes import Answer
from farm.domain.sampling_names import SAMPLERS, SCHEDULERS

router = APIRouter(tags=["models"], responses=RESPONSES)


class Names(Answer):
    """ComfyUI's names."""

    sampler_name: tuple[str, ...]
    scheduler: tuple[str, ...]


@router.get("/samplers")
def samplers() -> Names:
    """Samplers and noise schedules of this farm's engine."""
    return Names(sampler_name=SAMPLERS, scheduler=SCHEDULERS)
