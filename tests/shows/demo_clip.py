"""The demo's clip, masks, model and parameters, for shows with real pictures."""

from __future__ import annotations

from demo.scene import HEAD, PARAMETERS, PAW, SOFT
from farm.domain.detailer import JobType
from farm.domain.job import JobRequest
from farm.local.place import DEMO_MODEL
from tests.e2e.shots import MODEL, Handed, Shot

ENGINE: dict[str, object] = {"engine": "diffusers", "device": "cpu", "torch_threads": 1}
"""Settings."""
FRAMES = 132


def shot() -> Shot:
    """The soft clip with head and paw."""
    return Shot(SOFT, {"head": HEAD, "paw": PAW}, DEMO_MODEL, FRAMES)


def request(handed: Handed, job_type: JobType, frames: str) -> JobRequest:
    """As the demo submits it: the head alone with the motion module, head and paw without."""
    segments = ("head",) if job_type is JobType.ANIMATEDIFF else ("head", "paw")
    return JobRequest.model_validate(
        {
            "type": job_type,
            "input": {"uri": handed.clip, "frames": frames},
            "segments": [{"name": name, "mask": handed.masks[name]} for name in segments],
            "detailer": PARAMETERS,
            "model": MODEL,
            "chunk": 24 if job_type is JobType.ANIMATEDIFF else 4,
            "outputs": (),
        }
    )
