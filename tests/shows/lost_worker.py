"""`python -m tests.shows.lost_worker`: a worker is killed while it samples. Who takes its task, when, at what cost?

Once with the farm's own lease times (15 s, a heartbeat every 5 s), once with short ones.
"""

from __future__ import annotations

import signal
import sys

from farm.domain.detailer import REPAINTING
from farm.settings import Settings
from tests.e2e import reference
from tests.e2e.farm_under_test import QUICK
from tests.e2e.losses import lose_a_worker
from tests.e2e.reference import differing
from tests.e2e.shots import hand_in, request
from tests.shows.stage import say, stage

OWN = {name: Settings.model_fields[name].default for name in ("lease_ttl_s", "heartbeat_s", "sweep_s", "backoff_s")}
SHORT = {name: QUICK[name] for name in OWN}
SLOW = 0.1
"""Seconds per crop: a task of eight crops takes most of a second."""


def main() -> int:
    """Print the figures; 0 if the bytes are those of the reference."""
    wrong = 0
    with stage() as here:
        shot = here.shot(frames=64)
        for pace in (OWN, SHORT):
            say(f"lease {pace['lease_ttl_s']} s, heartbeat {pace['heartbeat_s']} s, sweep {pace['sweep_s']} s")
            for job_type in REPAINTING:
                with here.farm(**pace) as farm:
                    wanted = request(hand_in(shot, farm), job_type)
                    (expected,) = reference.render(here.new("reference"), shot, wanted)
                    victim, _ = farm.workers(2, fake_seconds=SLOW)
                    job = farm.submit(wanted)
                    loss = lose_a_worker(farm, job, victim, signal.SIGKILL)
                    same = not differing(expected, farm.frames(job))
                wrong += not same
                say(
                    f"  {job_type.value:12} SIGKILL in {loss.task} after step {loss.step}: another worker had it after "
                    f"{loss.seconds:.1f} s; {loss.status.steps_done} sampler steps for {loss.steps_needed} needed "
                    f"({loss.done_twice:.1%} twice); {'same bytes' if same else 'OTHER BYTES'}"
                )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
