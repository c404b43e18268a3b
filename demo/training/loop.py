"""Steps until the time is up: optimizer, moving average, checkpoints that a later call goes on from."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from torch import Tensor, nn

from demo.training.networks import save_learnt
from demo.training.presets import Pace
from farm.cli.show import notes

CHECKPOINT_S = 60.0
"""Seconds between two checkpoints."""
TELL_S = 30.0
"""Seconds between two lines about the losses."""
WARM = 0.03
"""Part of a run in which the learning rate rises to its highest."""
LOWEST = 0.02
"""Learning rate at the end, as a part of the highest."""
LARGEST_STEP = 1.0
"""Norm to which gradients are cut."""


class Stage(Protocol):
    """What a run trains, and towards what."""

    @property
    def name(self) -> str:
        """What its files are called."""

    @property
    def weights(self) -> Mapping[str, nn.Parameter]:
        """What is learnt, by the names under which it is left for the next stage."""

    def losses(self, progress: float) -> Mapping[str, Tensor]:
        """One step's losses: `loss` is what is made smaller, the others are told.

        Args:
            progress: part of the run that is over, in [0, 1].
        """

    def stepped(self) -> None:
        """Called after each step of the weights."""

    def outcome(self) -> Mapping[str, Tensor]:
        """What else is left for the next stage, by name."""


@dataclass(frozen=True)
class Budget:
    """When a run ends: after so many minutes of training, or after so many steps where those are given."""

    minutes: float
    steps: int | None = None

    def spent(self, seconds: float, steps: int) -> float:
        """Part that is over; 1 or more: the end."""
        return steps / self.steps if self.steps is not None else seconds / (60 * self.minutes)


@dataclass
class State:
    """Where a run stands."""

    steps: int = 0
    seconds: float = 0.0


def rate_at(progress: float, highest: float) -> float:
    """Learning rate: a short rise, then a cosine down to a fiftieth."""
    fall = LOWEST + (1 - LOWEST) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
    return highest * min(1.0, progress / WARM + 0.01) * fall


class Run:
    """A stage with its optimizer and its average."""

    def __init__(self, stage: Stage, pace: Pace, work: Path) -> None:
        """Goes on from a checkpoint of the same stage in `work`, if there is one."""
        self.stage, self.pace = stage, pace
        self.checkpoint = work / f"{stage.name}.checkpoint"
        self.outcome = work / f"{stage.name}.safetensors"
        self.state = State()
        for weight in stage.weights.values():
            weight.requires_grad_(True)
        self.average = {name: weight.detach().clone() for name, weight in stage.weights.items()}
        self.optimizer = torch.optim.AdamW(stage.weights.values(), pace.rate, betas=(0.9, 0.98), weight_decay=0.01)
        if self.checkpoint.is_file():
            self._resume()

    def _resume(self) -> None:
        kept = torch.load(self.checkpoint, weights_only=True)
        with torch.no_grad():
            for name, weight in self.stage.weights.items():
                weight.copy_(kept["weights"][name])
                self.average[name].copy_(kept["average"][name])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.state = State(int(kept["steps"]), float(kept["seconds"]))

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        making = self.checkpoint.with_suffix(".part")
        kept = {
            "weights": {name: weight.detach() for name, weight in self.stage.weights.items()},
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "steps": self.state.steps,
            "seconds": self.state.seconds,
        }
        torch.save(kept, making)
        making.replace(self.checkpoint)

    def finish(self) -> None:
        """Leave the average for the next stage; the checkpoint is no longer needed."""
        save_learnt(self.outcome, {**self.average, **self.stage.outcome()})
        self.checkpoint.unlink(missing_ok=True)

    def step(self, progress: float) -> dict[str, float]:
        """Take one step; its losses."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(progress, self.pace.rate)
        losses = self.stage.losses(progress)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses["loss"])
        nn.utils.clip_grad_norm_(self.stage.weights.values(), LARGEST_STEP)
        self.optimizer.step()
        self.stage.stepped()
        self.state.steps += 1
        # Early on the average follows quickly, so that the start is soon forgotten.
        keep = min(self.pace.average, (1 + self.state.steps) / (10 + self.state.steps))
        with torch.no_grad():
            for name, weight in self.stage.weights.items():
                self.average[name].lerp_(weight.detach(), 1 - keep)
        return {name: float(value.detach()) for name, value in losses.items()}


class Told:
    """Mean losses since the last line."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, losses: Mapping[str, float]) -> None:
        """Take in a step."""
        self._count += 1
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def line(self) -> str:
        """The means, and start anew."""
        line = ", ".join(f"{name} {total / max(self._count, 1):.4f}" for name, total in self._sums.items())
        self._sums, self._count = {}, 0
        return line


def train(stage: Stage, pace: Pace, budget: Budget, work: Path) -> State:
    """Run a stage to its end. An interrupt leaves a checkpoint, from which the next call goes on.

    Returns:
        Steps and seconds that it took, those of earlier calls among them.
    """
    run = Run(stage, pace, work)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, console=notes()) as shown:
        bar = shown.add_task(stage.name, total=1.0, told="")
        try:
            _steps(run, budget, shown, bar)
        except KeyboardInterrupt:
            run.save()
            raise
    run.finish()
    return run.state


def _steps(run: Run, budget: Budget, shown: Progress, bar: TaskID) -> None:
    told = Told()
    last = saved = spoke = time.monotonic()
    while (progress := budget.spent(run.state.seconds, run.state.steps)) < 1:
        told.add(run.step(progress))
        now = time.monotonic()
        run.state.seconds += now - last
        last = now
        if now - spoke > TELL_S:
            spoke = now
            line = f"step {run.state.steps}: {told.line()}"
            shown.update(bar, completed=progress, told=line)
            if not shown.console.is_terminal:
                notes().print(f"{run.stage.name} {progress:.0%} {line}", soft_wrap=True)
        if now - saved > CHECKPOINT_S:
            saved = now
            run.save()
