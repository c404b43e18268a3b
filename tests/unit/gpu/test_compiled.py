from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from workers.gpu.compiled import Compiled


class Network:
    """Doubles its input; remembers the sizes that it was called with."""

    dtype = torch.float32

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, x: Tensor, scale: float = 2) -> Tensor:
        self.calls.append(len(x))
        return x * scale


class Compiler:
    """A compiler that is done when it is told."""

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken
        self.asked: list[int] = []
        self.may_end = threading.Event()
        self.compiled_calls = 0

    def __call__(self, network: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Callable[..., Any]:  # noqa: ANN401
        self.asked.append(len(args[0]))
        assert self.may_end.wait(10)
        if self.broken:
            raise RuntimeError("no compiler on this machine")

        def run(x: Tensor, scale: float = 2) -> Tensor:
            self.compiled_calls += 1
            return x * scale

        return run


def test_a_size_that_recurs_is_compiled_beside_the_work() -> None:
    network, compiler = Network(), Compiler()
    compiled = Compiled(network, compiler, recurs=3)
    x = torch.ones(4)
    for _ in range(5):
        assert torch.equal(compiled(x, scale=3), x * 3)
    assert network.calls == [4] * 5
    compiler.may_end.set()
    compiled.wait()
    assert torch.equal(compiled(x, scale=3), x * 3)
    assert (network.calls, compiler.compiled_calls, compiler.asked) == ([4] * 5, 1, [4])


def test_other_sizes_run_as_they_are_and_wait_for_their_turn() -> None:
    network, compiler = Network(), Compiler()
    compiled = Compiled(network, compiler, recurs=2)
    for size in (4, 4, 5, 5, 5, 6):
        compiled(torch.ones(size))
    assert compiler.asked == [4]
    compiler.may_end.set()
    compiled.wait()
    compiled(torch.ones(5))
    compiled.wait()
    assert compiler.asked == [4, 5]


def test_where_nothing_can_be_compiled_everything_runs_as_it_is() -> None:
    network, compiler = Network(), Compiler(broken=True)
    compiler.may_end.set()
    compiled = Compiled(network, compiler, recurs=1)
    for _ in range(3):
        compiled(torch.ones(2))
        compiled.wait()
    assert (network.calls, compiler.asked) == ([2] * 3, [2])
    assert compiled.dtype == torch.float32
