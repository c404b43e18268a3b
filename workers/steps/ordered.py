"""Reads and writes of the store side by side: each is mostly waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 4
"""Calls at once, and results that wait: as many pictures are in memory."""


def in_order(work: Callable[[T], R], items: Iterable[T], at_once: int = AT_ONCE) -> Iterator[R]:
    """`work` of each item, in the items' order, up to `at_once` of them ahead of the one that is asked for.

    Items are taken in the caller's thread. What `work` raises is raised in its place; nothing is begun after it, and
    what had begun has ended.
    """
    rest = iter(items)
    begun = list(islice(rest, 2))
    if len(begun) == 1:
        # Nothing could be done beside it.
        yield work(begun[0])
        return
    with ThreadPoolExecutor(at_once) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in chain(begun, rest):
                waiting.append(pool.submit(work, item))
                if len(waiting) > at_once:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
