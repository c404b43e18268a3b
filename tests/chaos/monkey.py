"""A seeded hand that strikes a farm every second or two, and a run of it from the first job to the verdict."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path

from farm.domain.job import JobRequest
from farm.domain.state import JOB_ENDED
from farm.errors import Unavailable
from tests.chaos import verdict
from tests.chaos.blows import BLOWS, Arm, Blow
from tests.chaos.crew import Crew, Spared
from tests.chaos.hosts import Clock, Host, clock_shim, networks
from tests.chaos.load import Load, job_request
from tests.chaos.verdict import Frames, Verdict
from tests.chaos.watch import Watch
from tests.chaos.wire import Wires
from tests.e2e import reference
from tests.e2e.farm_under_test import FarmUnderTest, until
from tests.e2e.shots import Shot, hand_in

CALM_S = (0.6, 3.0)
"""Seconds between two blows: uniform in this range."""
HOSTS = 4
"""Each with one worker; the odd ones in network namespaces of their own, where these are permitted."""
WARM_S = 120.0
"""Seconds for the first workers to come up."""
REST_S = 300.0
"""Seconds in which a farm that is left in peace must have ended its jobs."""
ALONE_S = 90.0
"""Seconds in which it must have done it: a consumer whose connection is half open notices after 51."""
ALONE_FRAMES = "1-8"
"""The job that each worker is given alone in the end: one chunk."""

Tell = Callable[[str], None]


class Monkey:
    """Strikes until its time is over. The same seed gives the same blows, though not at the same moments."""

    def __init__(self, arm: Arm, tell: Tell, blows: Sequence[Blow] = BLOWS) -> None:
        self._arm = arm
        self._tell = tell
        self._blows = blows
        self.struck: Counter[str] = Counter()
        """By kind."""

    @property
    def cuts(self) -> int:
        """Kills and cuts so far."""
        return sum(self.struck[blow.name] for blow in self._blows if blow.cut)

    def run(self, seconds: float) -> None:
        """Strike for so long; then everything is made good again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._wait(self._arm.between(CALM_S))
            (blow,) = self._arm.lot.choices(self._blows, [blow.weight for blow in self._blows])
            try:
                done = blow.strike(self._arm)
            except Spared:
                continue
            self._tell(f"{blow.name}: {done}")
            self.struck[blow.name] += 1
        self.peace()

    def peace(self) -> None:
        """Everything goes on that was stopped, everything is whole that was cut."""
        crew = self._arm.crew
        for host in crew.hosts:
            host.calm()
        while crew.busy:
            crew.tend(everything=True)
            time.sleep(0.05)
            crew.all_go_on()

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._arm.crew.tend()
            time.sleep(0.02)


class Run:
    """One farm, hurt for a while, then judged."""

    def __init__(self, farm: FarmUnderTest, shot: Shot, seed: int, tell: Tell) -> None:
        self._farm = farm
        self._shot = shot
        self._seed = seed
        self._tell = tell
        self._handed = hand_in(shot, farm)
        self.monkey: Monkey
        self.hosts: list[Host] = []

    def play(self, seconds: float, crop_s: float) -> Verdict:
        """Hurt the farm for so many seconds, wait until its jobs have ended, and count.

        Args:
            crop_s: seconds per crop of the fake engine.
        """
        lease_s = self._farm.settings.lease_ttl_s
        with ExitStack() as stack:
            self.hosts = list(stack.enter_context(self._made_hosts()))
            watch = stack.enter_context(Watch(self._farm.redis.url))
            crew = Crew(self._farm, self.hosts, {"fake_seconds": crop_s})
            until("the workers are there", lambda: len(self._farm.farm.workers()) >= HOSTS, WARM_S)
            load = stack.enter_context(Load(self._farm, f"http://127.0.0.1:{crew.api_port}", self._request))
            arm = Arm(self._farm, crew, watch, random.Random(self._seed), lease_s)
            self.monkey = Monkey(arm, self._tell)
            self.monkey.run(seconds)
            load.stop()
            jobs = list(load.requests)
            self._tell(f"peace; {len(jobs)} jobs were submitted")
            until("all jobs have ended", lambda: self._ended(jobs), REST_S)
            deaf = self._deaf(crew)
            wrong = [*watch.untrue, *load.refused, *crew.died(), *deaf]
            wrong += verdict.doubled_jobs(self._farm, {*load.requests, *self._alone})
        return self._judge(load, watch, wrong)

    _alone: list[str]

    def _request(self, number: int) -> JobRequest:
        return job_request(self._handed, self._seed, number)

    def _ended(self, jobs: Sequence[str]) -> bool:
        try:
            return all(self._farm.farm.status(job).state in JOB_ENDED for job in jobs)
        except Unavailable:
            return False

    @contextmanager
    def _made_hosts(self) -> Iterator[list[Host]]:
        folder = self._farm.folder
        shim = clock_shim(folder)
        spaces = networks(HOSTS // 2)
        try:
            with Wires(self._seed) as wires:
                made = []
                for number in range(HOSTS):
                    network = spaces[number // 2] if number % 2 and number // 2 < len(spaces) else None
                    clock = Clock(folder / f"clock-{number}", shim) if shim else None
                    made.append(Host(f"h{number}", self._farm, wires, network, clock))
                yield made
        finally:
            for space in spaces:
                space.remove()

    def _deaf(self, crew: Crew) -> list[str]:
        """Workers that do not serve any more: each is given a job alone, while the others are stopped."""
        self._alone, deaf = [], []
        for number, man in enumerate(crew.men):
            crew.alone(man)
            wanted = self._request(2 * number)
            clip = wanted.input.model_copy(update={"frames": ALONE_FRAMES})
            detailer = wanted.detailer.model_copy(update={"seed": 999_000 + number})
            job = self._farm.submit(wanted.model_copy(update={"input": clip, "detailer": detailer, "outputs": ()}))
            self._alone.append(job)
            try:
                until(f"{man.name} has done a job alone", partial(self._ended, [job]), ALONE_S)
            except AssertionError:
                deaf.append(f"{man.name} does not serve any more")
        crew.all_go_on()
        until("all small jobs have ended", lambda: self._ended(self._alone))
        return deaf

    def _judge(self, load: Load, watch: Watch, wrong: list[str]) -> Verdict:
        farm, jobs = self._farm, list(load.requests)
        self._tell(f"rendering the reference of {len(jobs)} jobs")
        expected = reference.render(Path(farm.folder) / "reference", self._shot, *load.requests.values())
        frames = Frames()
        for job, pictures in zip(jobs, expected, strict=True):
            found = _digests(farm.frames(job))
            frames.compare(job, _digests(pictures), found)
            wrong += verdict.wrong_manifests(farm, job, found)
        said = list(verdict.events(farm.folder))
        return Verdict(
            frames=frames,
            left_over=verdict.left_over(farm, [*jobs, *self._alone]),
            wrong=wrong + verdict.unforeseen(said),
            steps=verdict.steps_of(farm, jobs),
            crops_late=verdict.late_details(said),
            losses=watch.losses,
            commits=verdict.commits(said, watch.losses),
        )


def _digests(pictures: dict[str, bytes]) -> dict[str, str]:
    return {name: sha256(data).hexdigest() for name, data in pictures.items()}
