"""`python -m tests.shows.bad_input`: each mistake at a real API, with the farm's answer."""

from __future__ import annotations

import sys

from farm.domain.detailer import JobType
from farm.domain.state import JobState, TaskState
from tests.e2e.bad_inputs import Mistakes
from tests.e2e.shots import Handed, hand_in, request
from tests.e2e.test_bad_frame import BAD, with_cut_picture
from tests.shows.stage import say, stage


def main() -> int:
    """Print mistakes and answers; 0 if each was refused with what the tests ask for."""
    wrong = 0
    with stage() as here, here.farm() as farm:
        shot = here.shot()
        handed = hand_in(shot, farm)
        url = farm.api().http.url
        folder = here.new("mistakes")
        folder.mkdir()
        with Mistakes(url, handed, folder) as mistakes:
            for refusal in mistakes.all():
                good = refusal.status in {413, 422} and all(word in refusal.detail for word in refusal.words)
                wrong += not good
                say(
                    f"{refusal.mistake} -> {refusal.status}{'' if good else '  NOT AS IT SHOULD BE'}",
                    f"    {refusal.detail}",
                )
        missing = farm.command("job", "submit", "nothing.mp4", "--mask", "face.png", url=url)
        say(f"a missing file, on the command line -> exit code {missing.returncode}", f"    {missing.stderr.strip()}")
        broken = farm.admit(with_cut_picture(shot.clip, folder, BAD))
        farm.workers(1)
        job = farm.submit(request(Handed(broken, handed.masks), JobType.MASK))
        status = farm.wait(job, JobState.FAILED)
        first = next(task for task in farm.rows(job, TaskState.FAILED) if task.kind == "plan")
        say(
            f"a picture cut short in the middle of a clip -> job {status.state.value}, {status.chunks_done} of "
            f"{status.facts.chunks} chunks and {len(farm.frames(job))} of {status.facts.frames} frames are there",
            f"    {first.id}: {first.error}",
        )
    return 1 if wrong or not missing.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
