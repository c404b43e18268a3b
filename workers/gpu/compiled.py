"""A network compiled for sizes that recur, beside the work: the first calls of a size never wait for a compiler."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import structlog
import torch

log = structlog.get_logger()

RECURS = 64
"""Calls of one size after which it is compiled: several tasks' worth."""
SIZES = 16
"""Sizes that are compiled at the most; each takes minutes of a CPU core, and memory."""

Call = Callable[..., Any]
"""A network's forward pass."""
Compiler = Callable[[Any, tuple[Any, ...], dict[str, Any]], Call]
"""Network, and a call's arguments -> what does the same for arguments of that size, ready to run."""


class Compiled:
    """A network that runs as it is until a size recurs and its compiled form is ready. One thread compiles."""

    def __init__(self, network: Any, compiler: Compiler, recurs: int = RECURS) -> None:  # noqa: ANN401  untyped
        self._network = network
        self._compiler = compiler
        self._recurs = recurs
        self._seen: Counter[tuple[object, ...]] = Counter()
        self._ready: dict[tuple[object, ...], Call] = {}
        self._asked: set[tuple[object, ...]] = set()
        self._thread: threading.Thread | None = None

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in."""
        dtype: torch.dtype = self._network.dtype
        return dtype

    @property
    def config(self) -> Any:  # noqa: ANN401  diffusers is untyped
        """The network's own."""
        return self._network.config

    def __call__(self, *args: Any, **named: Any) -> Any:  # noqa: ANN401  diffusers is untyped
        """As the network does."""
        size = _size(args, named)
        ready = self._ready.get(size)
        if ready is not None:
            return ready(*args, **named)
        self._seen[size] += 1
        if self._seen[size] >= self._recurs and self._free(size):
            self._asked.add(size)
            self._thread = threading.Thread(
                target=self._compile, args=(size, args, named), name="compiler", daemon=True
            )
            self._thread.start()
        return self._network(*args, **named)

    def wait(self) -> None:
        """Until nothing is being compiled; for benchmarks."""
        if self._thread is not None:
            self._thread.join()

    def _free(self, size: tuple[object, ...]) -> bool:
        idle = self._thread is None or not self._thread.is_alive()
        return idle and size not in self._asked and len(self._asked) < SIZES

    def _compile(self, size: tuple[object, ...], args: tuple[Any, ...], named: dict[str, Any]) -> None:
        try:
            self._ready[size] = self._compiler(self._network, args, named)
            log.info("compiled", size=str(size))
        except (RuntimeError, AssertionError, OSError, ImportError, TypeError, ValueError) as error:
            # The network runs as it is.
            log.warning("not_compiled", size=str(size), error=repr(error)[:500])


def compile_on_gpu(network: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Call:  # noqa: ANN401  untyped
    """torch.compile for one size, warmed up on a stream of its own.

    Without CUDA graphs: a graph belongs to the thread that recorded it, and calls as large as these keep a GPU busy
    without one.
    """
    compiled: Call = torch.compile(network.forward, dynamic=False)
    cuda: Any = torch.cuda
    stream = cuda.Stream()
    with torch.inference_mode(), torch.cuda.stream(stream):
        copies = [_copy(value) for value in args], {name: _copy(value) for name, value in named.items()}
        compiled(*copies[0], **copies[1])
    stream.synchronize()
    return compiled


def _copy(value: Any) -> Any:  # noqa: ANN401  an argument of any type
    if isinstance(value, torch.Tensor):
        return torch.randn_like(value) if value.is_floating_point() else value.clone()
    if isinstance(value, Mapping):
        return {name: _copy(one) for name, one in value.items()}
    return type(value)(_copy(one) for one in value) if isinstance(value, list | tuple) else value


def _size(args: tuple[Any, ...], named: dict[str, Any]) -> tuple[object, ...]:
    return tuple(_shape(value) for value in (*args, *(named[name] for name in sorted(named))))


def _shape(value: Any) -> object:  # noqa: ANN401  an argument of any type
    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    if isinstance(value, Mapping):
        return tuple((name, _shape(value[name])) for name in sorted(value))
    return tuple(_shape(one) for one in value) if isinstance(value, list | tuple) else type(value).__name__
