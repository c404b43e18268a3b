"""What is seen in a chunk's frames before it is planned: segments, and what sources look at besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from farm.detail.seg_filters import in_range, ranked, with_labels
from farm.detail.segs import Seg
from farm.domain.hooks import Hook, LabelFilter, OrderedFilter, filters

FoundSegs = Mapping[str, Mapping[int, Sequence[Seg]]]
"""Source name -> frame position -> its segments. `animatediff`: each frame has all the clip's segments, in one order,
the same region in every frame or one that moves (`Seg.moved`), its own mask."""

Looked = Mapping[str, Mapping[int, Sequence[str]]]
"""Source name -> frame position -> digests of the things that it looks at (`Source.looks_at`)."""


@dataclass(frozen=True)
class Sight:
    """What is seen in a layer's frames: with the parameters that sources have in that layer."""

    found: FoundSegs
    looked: Looked = field(default_factory=dict)


def filtered(segs: Sequence[Seg], hooks: tuple[Hook, ...]) -> Sequence[Seg]:
    """The segments that the hooks' filters keep, in the order that they give them."""
    for hook in filters(hooks):
        if isinstance(hook, LabelFilter):
            segs = with_labels(segs, hook.labels)
        elif isinstance(hook, OrderedFilter):
            segs = ranked(segs, hook.target, hook.order == "descending", hook.take_start, hook.take_count)
        else:
            segs = in_range(segs, hook.target, hook.mode == "inside", hook.min_value, hook.max_value)
    return segs
