"""The blows: what is done to a farm, each with its weight, and whether it counts as a kill or a cut."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis

from farm.domain.queues import QUEUES
from farm.ports import Offer, TaskFilter
from farm.service.rebuild import recover_all
from tests.chaos.crew import Crew, Man, Spared
from tests.chaos.hosts import Host
from tests.chaos.watch import Watch
from tests.chaos.wire import FAIR, Weather
from tests.e2e.farm_under_test import FarmUnderTest

GONE_S = (0.2, 4.0)
"""Seconds without Redis."""
STORM_S = (1.0, 5.0)
"""Seconds of bad weather between a host and the store, and for which messages are held back."""
SHIFT_S = (-600.0, 600.0)
"""Seconds by which a host's clock may be wrong: S3 refuses signatures that are off by more than 15 minutes."""
LEASES = (0.2, 1.6)
"""For how many leases a worker is stopped or a host cut off: some wake in time, some too late."""
WEATHERS = {
    "answers 503": Weather(errors=0.4),
    "is slow": Weather(delay_s=0.15),
    "breaks off": Weather(cuts=0.08),
}


@dataclass
class Arm:
    """Who strikes: everything that a blow may need."""

    farm: FarmUnderTest
    crew: Crew
    watch: Watch
    lot: random.Random
    lease_s: float

    def between(self, span: tuple[float, float]) -> float:
        """A number in this range."""
        return self.lot.uniform(*span)

    def some_leases(self) -> float:
        """Seconds."""
        return self.lease_s * self.between(LEASES)


def kill_worker(arm: Arm) -> str:
    """SIGKILL."""
    man = arm.crew.one(arm.lot)
    arm.watch.struck(man.name, "killed")
    arm.crew.kill(man)
    return man.name


def stop_worker(arm: Arm) -> str:
    """SIGSTOP, then SIGCONT."""
    man, seconds = arm.crew.one(arm.lot), arm.some_leases()
    arm.watch.struck(man.name, "stopped")
    arm.crew.freeze(man, seconds)
    return f"{man.name} for {seconds:.1f} s"


def stop_before_commit(arm: Arm) -> str:
    """SIGSTOP at the worst moment; it wakes when its lease is over and commits."""
    man = arm.crew.one(arm.lot)
    arm.crew.before_commit(man)

    def look() -> None:
        if not man.stopped:
            if man.process.alive and arm.crew.flag(man).exists():
                arm.crew.later(0.05, look)
            else:
                man.told = False
            return
        arm.watch.struck(man.name, "stopped before its commit")
        arm.crew.later(arm.lease_s * 1.6 + 1, wake)

    def wake() -> None:
        man.told = False
        man.process.signal(signal.SIGCONT)

    arm.crew.later(0.05, look)
    return man.name


def end_worker(arm: Arm) -> str:
    """SIGTERM: it may finish its task."""
    man = arm.crew.one(arm.lot)
    arm.crew.end(man)
    return man.name


def hurt_sweeper(arm: Arm) -> str:
    """The worker that is elected to sweep."""
    man = arm.crew.named(arm.watch.elected())
    arm.crew.one(arm.lot)
    if man is None or not man.serves:
        raise Spared
    if arm.lot.random() < 0.5:
        arm.watch.struck(man.name, "killed")
        arm.crew.kill(man)
        return f"killed {man.name}"
    seconds = arm.some_leases()
    arm.watch.struck(man.name, "stopped")
    arm.crew.freeze(man, seconds)
    return f"stopped {man.name} for {seconds:.1f} s"


def hurt_api(arm: Arm) -> str:
    """Kill and restart, or stop."""
    if arm.lot.random() < 0.6:
        arm.crew.restart_api()
        return "killed, started again"
    api, seconds = arm.crew.api, arm.between(GONE_S)
    api.signal(signal.SIGSTOP)
    arm.crew.later(seconds, lambda: api.signal(signal.SIGCONT))
    return f"stopped for {seconds:.1f} s"


def restart_redis(arm: Arm) -> str:
    """Stop it in good order, or kill it, and start it again on its file."""
    grace_s, seconds = arm.lot.choice([0.0, 15.0]), arm.between(GONE_S)
    arm.farm.redis.stop(grace_s)
    time.sleep(seconds)
    arm.farm.redis.start()
    return f"{'stopped' if grace_s else 'killed'} for {seconds:.1f} s"


def freeze_redis(arm: Arm) -> str:
    """It hangs: connections stand, nobody answers."""
    pid, seconds = arm.farm.redis.pid, arm.between(GONE_S)
    assert pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)
    return f"for {seconds:.1f} s"


def cut_redis(arm: Arm) -> str:
    """Every connection to it."""
    with redis.Redis.from_url(arm.farm.redis.url) as client:
        cut = client.client_kill_filter(_type="normal", skipme=True)
    return f"{cut} connections"


def forgetful_redis(arm: Arm) -> str:
    """A power cut: what it told its disk in the last second is lost; then `farm job recover --all`."""
    sizes = {path: path.stat().st_size for path in (arm.farm.folder / "redis").rglob("*.incr.aof")}
    time.sleep(1.0)
    arm.farm.redis.stop(0.0)
    lost = 0
    for path, size in sizes.items():
        if path.exists():
            lost += path.stat().st_size - size
            os.truncate(path, size)
    arm.farm.redis.start()
    recover_all(arm.farm.farm)
    return f"{lost} bytes of its file"


def restart_store(arm: Arm) -> str:
    """Stop or kill the S3 server and start it again on its folder."""
    grace_s = arm.lot.choice([0.0, 15.0])
    arm.farm.s3.stop(grace_s)
    arm.farm.s3.start()
    return "stopped" if grace_s else "killed"


def bad_weather(arm: Arm) -> str:
    """Between one host and the store, or between all of them and it."""
    what, seconds = arm.lot.choice(sorted(WEATHERS)), arm.between(STORM_S)
    hosts = list(arm.crew.hosts) if arm.lot.random() < 0.4 else [arm.lot.choice(arm.crew.hosts)]
    for host in hosts:
        host.storm(WEATHERS[what])

    def calm() -> None:
        for host in hosts:
            host.storm(FAIR)

    arm.crew.later(seconds, calm)
    return f"{what} for {' '.join(host.name for host in hosts)}, {seconds:.1f} s"


def reset_host(arm: Arm) -> str:
    """All connections of a host to one of its servers."""
    host: Host = arm.lot.choice(arm.crew.hosts)
    which = arm.lot.choice(["redis", "store"])
    host.reset(host.redis if which == "redis" else host.store)
    return f"{host.name} to {which}"


def cut_off_host(arm: Arm) -> str:
    """Its cable is pulled, and put back."""
    host = arm.crew.one(arm.lot).host
    seconds = arm.some_leases()
    for man in _on(arm, host):
        arm.watch.struck(man.name, "cut off")
    host.cut_off()
    arm.crew.later(seconds, host.come_back)
    return f"{host.name} ({host.kind}) for {seconds:.1f} s"


def turn_clock(arm: Arm) -> str:
    """A host's clock jumps."""
    host: Host = arm.lot.choice(arm.crew.hosts)
    if host.clock is None:
        return "no compiler, no wrong clocks"
    host.clock.turn(arm.between(SHIFT_S))
    return f"{host.name} is {host.clock.shift_s:+.0f} s off"


def double_messages(arm: Arm) -> str:
    """Offers of all tasks of the open jobs, done and not done, once or twice more."""
    offers = [
        Offer(job.facts.id, task.id, task.kind, "gpu.0" if task.kind == "detail" else "cpu")
        for job in arm.farm.farm.jobs(limit=4)
        for task in arm.farm.farm.tasks(job.facts.id, TaskFilter(), limit=200)
        if task.kind != "barrier"
    ]
    chosen = arm.lot.sample(offers, min(len(offers), 60))
    arm.farm.farm.queue.send(chosen * arm.lot.choice([1, 2]))
    return f"{len(chosen)} offers sent again"


def delay_messages(arm: Arm) -> str:
    """What is in the queues is taken out and put back later, or never."""
    seconds, lost = arm.between(STORM_S), arm.lot.random() < 0.4
    held: list[tuple[str, bytes]] = []
    with redis.Redis.from_url(arm.farm.redis.url) as client:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            for queue in QUEUES:
                name = f"farm:celery:{queue}"
                found = client.rpop(name, 1000)
                held += [(name, message) for message in found or () if isinstance(message, bytes)]
            time.sleep(0.001)

    def give_back() -> None:
        with redis.Redis.from_url(arm.farm.redis.url) as client:
            for name, message in held:
                client.lpush(name, message)

    if not lost:
        arm.crew.later(seconds, give_back)
    return f"{len(held)} offers {'lost' if lost else f'held back for {seconds:.1f} s'}"


def _on(arm: Arm, host: Host) -> list[Man]:
    return [man for man in arm.crew.men if man.host is host]


@dataclass(frozen=True)
class Blow:
    """A kind of blow."""

    name: str
    weight: int
    cut: bool
    """Whether it is a kill or a cut."""
    strike: Callable[[Arm], str]
    """Does it; what was done, in words."""


BLOWS = (
    Blow("worker killed (SIGKILL)", 6, True, kill_worker),
    Blow("worker stopped (SIGSTOP)", 4, True, stop_worker),
    Blow("worker stopped before a commit", 4, True, stop_before_commit),
    Blow("worker told to end (SIGTERM)", 2, True, end_worker),
    Blow("sweeper killed or stopped", 2, True, hurt_sweeper),
    Blow("API killed or stopped", 2, True, hurt_api),
    Blow("Redis stopped or killed", 2, True, restart_redis),
    Blow("Redis hangs", 1, True, freeze_redis),
    Blow("Redis lost its last second", 2, True, forgetful_redis),
    Blow("all connections to Redis cut", 1, True, cut_redis),
    Blow("store stopped or killed", 1, True, restart_store),
    Blow("host cut off", 5, True, cut_off_host),
    Blow("connections of a host reset", 2, True, reset_host),
    Blow("store answers 503, slow or half", 4, False, bad_weather),
    Blow("clock turned", 2, False, turn_clock),
    Blow("messages doubled", 2, False, double_messages),
    Blow("messages held back or lost", 2, False, delay_messages),
)
