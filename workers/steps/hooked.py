"""What hooks have to do with a detail task besides its sampling: their state, whole frames after a paste, previews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.adapters.packs import decode_npy, encode_npy, unpack
from farm.adapters.pictures import encode_webp
from farm.adapters.plugins import open_hook
from farm.detail.blend import Patch, Pixels, from_bytes, paste, to_bytes
from farm.detail.box import Box
from farm.detail.hooks import DetailerHook
from farm.domain import keys
from farm.domain.effective import EATEN
from farm.domain.hooks import Hook, PluginHook, Preview, plugins
from farm.domain.plan import After, DetailTask, Plan
from farm.errors import Damaged, Rejected
from workers.context import Task, Tools

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

STATE = "state."


@dataclass(frozen=True)
class Hooked:
    """What the hooks of installed packages are given."""

    source: str = ""
    specs: tuple[PluginHook, ...] = ()
    kept: Mapping[str, bytes] = field(default_factory=dict)
    """What the hooks of all sources have left with the tasks before."""
    frames: tuple[Pixels, ...] = ()
    """The frame that each crop was cut from."""
    masks: tuple[F32, ...] = ()
    """Each crop's paste mask."""

    def open(self) -> tuple[DetailerHook[Any], ...]:
        """Objects for one batch. Raises NotInstalledHere, BadPlugin, Rejected."""
        opened = tuple(open_hook(spec) for spec in self.specs)
        for number, hook in enumerate(opened):
            state = self.kept.get(state_member(self.source, number))
            if state is not None:
                hook.restore(state)
        return opened

    def finish(self, opened: Sequence[DetailerHook[Any]], task: DetailTask, patches: Sequence[U8]) -> dict[str, bytes]:
        """Tell the hooks of each paste, in order; what is stored beside the patches: frames that they changed, and
        what they keep."""
        members = dict(self.kept)
        if not opened:
            return members
        for number, (crop, frame, mask) in enumerate(zip(task.crops, self.frames, self.masks, strict=True)):
            if mask.any():
                pasted = paste(frame, Patch(from_bytes(patches[number]), mask, Box(*crop.region)))[..., :3]
                changed = self._post_paste(opened, pasted)
                if changed is not pasted:
                    members[frame_member(number)] = encode_npy(changed)
        for number, (spec, hook) in enumerate(zip(self.specs, opened, strict=True)):
            if not spec.pure:
                members[state_member(self.source, number)] = hook.state()
        return members

    def _post_paste(self, opened: Sequence[DetailerHook[Any]], pasted: Pixels) -> Pixels:
        frame = pasted
        for spec, hook in zip(self.specs, opened, strict=True):
            after = hook.post_paste(frame.copy())
            if spec.pure or np.array_equal(after, frame):
                continue
            if after.shape != frame.shape:
                raise Rejected(
                    f"The hook {spec.name!r} made a frame of {after.shape} out of one of {frame.shape}; the size of a "
                    f"frame must stay. Repair the hook."
                )
            frame = np.asarray(after, dtype=np.float32)
        return frame


def hooked(
    task: Task, tools: Tools, detail: DetailTask, hooks: Sequence[Hook], frames: Sequence[Pixels], masks: Sequence[F32]
) -> Hooked:
    """What a task's hooks are given."""
    kept = _kept(task, tools, detail.after)
    found = tuple(plugins(tuple(hooks)))
    # Whole frames are large: nobody keeps them where no hook looks at them.
    return Hooked(detail.source, found, kept, tuple(frames), tuple(masks)) if found else Hooked(kept=kept)


def frame_member(crop: int) -> str:
    """Name of a whole frame, `[H, W, 3]` float32, that takes the place of a crop's patch when it is pasted."""
    return f"{crop:04d}.frame.npy"


def state_member(source: str, hook: int) -> str:
    """Name of what a source's hook keeps for the next task."""
    return f"{STATE}{source}.{hook}.bin"


def frame_patch(members: Mapping[str, bytes], crop: int) -> Patch | None:
    """The patch that stands for a whole frame, if a hook has changed it."""
    data = members.get(frame_member(crop))
    if data is None:
        return None
    pixels: Pixels = decode_npy(data)
    height, width = pixels.shape[:2]
    return Patch(pixels, np.ones((height, width), dtype=np.float32), Box(0, 0, width, height))


def kept_by(task: Task, tools: Tools, after: After | None) -> str:
    """The patches of the task whose hooks' state is taken up: one that was eaten has passed on what it was given.

    Empty if there is none. Raises Damaged: it has committed nothing yet.
    """
    while after is not None:
        output = task.outputs([after.task]).get(after.task)
        if not output:
            # Its chunk may have ended long ago: then the ledger has dropped its tasks.
            document = tools.json_or_none(keys.chunk(task.job.id, after.chunk)) or {"outputs": {}}
            output = document["outputs"].get(after.task)
        if not output:
            raise Damaged(f"Task {after.task} has left nothing yet; the task that goes on from it runs again.")
        if output != EATEN:
            return str(output)
        after = tools.plan(task.job.id, after.chunk).task(after.task).after
    return ""


def _kept(task: Task, tools: Tools, after: After | None) -> dict[str, bytes]:
    output = kept_by(task, tools, after)
    members = tools.object(output, unpack) if output else {}
    return {name: data for name, data in members.items() if name.startswith(STATE)}


def preview_pictures(
    job_id: str, plan: Plan, detail: DetailTask, hooks: Sequence[Hook], batch: Sequence[tuple[Pixels, F32, U8]]
) -> dict[str, bytes]:
    """Pictures that a `preview` hook asks for, by name of the object: crops with their patches pasted.

    Args:
        batch: pixels, paste mask and patch of each crop.
    """
    wanted = [hook for hook in hooks if isinstance(hook, Preview)]
    names = {frame.position: PurePosixPath(frame.name).stem for frame in plan.frames}
    found = {}
    for hook in wanted[:1]:
        for crop, (pixels, mask, patch) in zip(detail.crops, batch, strict=True):
            shown = paste(pixels, Patch(from_bytes(patch), mask, Box(0, 0, pixels.shape[1], pixels.shape[0])))
            variation = f"-b{detail.variation}" if detail.variation else ""
            name = f"preview/{names[crop.frame]}_{detail.source}_{crop.segment}{variation}.webp"
            found[keys.job(job_id, name)] = encode_webp(to_bytes(shown), hook.quality)
    return found
