"""A batch that failed is split into its crops, so that only the one at fault fails; then they are put together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from farm.adapters.packs import pack, unpack
from farm.domain import keys
from farm.domain.decisions import Standing
from farm.domain.detailer import JobType
from farm.domain.effective import EATEN, together_key
from farm.domain.plan import DetailTask, Plan, part_id
from farm.errors import CropRejected, Damaged
from farm.ports import Blobs, Lease, NewTask
from farm.service.documents import compact
from farm.service.eat import decided
from workers.context import Task, Tools

SPLIT_AFTER = 2
"""Failed attempts, each by another worker where there are several, after which a batch is split."""


def split(lease: Lease, tools: Tools, error: BaseException) -> tuple[NewTask, ...]:
    """The tasks that take the place of a batch that failed; none where it is to be tried again as it is.

    In an `animatediff` job a batch is a segment through all frames, which cannot be split; neither can one crop.
    """
    if lease.kind != "detail" or lease.parts or lease.task.count(".") > 2:
        return ()
    job = tools.documents.job(lease.job)
    alone = isinstance(error, CropRejected)
    if job.type is JobType.ANIMATEDIFF or not (alone or lease.attempt >= min(SPLIT_AFTER, job.max_attempts)):
        return ()
    plan = tools.plan(job.id, lease.chunk)
    task = plan.task(lease.task)
    if len(task.crops) < 2:
        return ()
    record = {"task": task.id, "crops": len(task.crops), "error": str(error)}
    tools.blobs.put(keys.split(job.id, lease.chunk, task.id), compact(record), "application/json")
    return part_tasks(plan, task, lease.queue, lease.layer)


def part_tasks(plan: Plan, task: DetailTask, queue: str, layer: str) -> tuple[NewTask, ...]:
    """One task for each crop; a part finds by itself whether its patch is known."""
    return tuple(
        NewTask(name, "detail", queue, plan.chunk, layer, waits=plan.part(name).waits)
        for name in (part_id(task.id, crop) for crop in range(len(task.crops)))
    )


def was_split(blobs: Blobs, job_id: str, chunk: int) -> set[str]:
    """Tasks of a chunk that were split before its plan was made again."""
    prefix = keys.splits(job_id, chunk)
    return {name.removeprefix(prefix).removesuffix(".json") for name in blobs.list(prefix)}


def standing_for(task: Task, tools: Tools) -> Standing:
    """What was eaten of a task's chunk; the store is asked only where there is something."""
    return decided(tools.blobs, task.job.id) if task.amended else Standing()


def put_together(task: Task, tools: Tools) -> str:
    """The patches of all parts as one object, as if they had been made at once; its name.

    Raises:
        Damaged: a part has committed nothing.
    """
    names = [part_id(task.id, crop) for crop in range(task.parts)]
    outputs = task.outputs(names)
    missing = [name for name in names if not outputs.get(name)]
    if missing:
        raise Damaged(f"Task {missing[0]} has no patches yet; what puts them together runs again.")
    found = [outputs[name] for name in names]
    members: dict[str, bytes] = {}
    for crop, output in enumerate(found):
        if output != EATEN:
            members |= renumbered(tools.object(output, unpack), [crop])
    key = together_key([output if output == EATEN else keys.key_of(output) for output in found])
    return commit(tools, key, members, task.job.engine)


def renumbered(members: Mapping[str, bytes], numbers: Sequence[int]) -> dict[str, bytes]:
    """Members of crops 0, 1 ... under other numbers; what belongs to no crop stays."""
    found = {}
    for name, data in members.items():
        crop, _, rest = name.partition(".")
        found[f"{numbers[int(crop)]:04d}.{rest}" if crop.isdecimal() else name] = data
    return found


def commit(
    tools: Tools, key: str, members: Mapping[str, bytes], engine: str, more: Mapping[str, object] | None = None
) -> str:
    """Store patches as one object, then the record that says they are complete; the object's name.

    Args:
        more: what else is written into the record.
    """
    crops = sum(name.count(".") == 1 and name.endswith(".png") for name in members)
    data = pack(dict(members))
    digest = hashlib.sha256(data).hexdigest()
    name = keys.patches(key, digest)
    tools.blobs.put(name, data, "application/zip")
    record = {"key": key, "object": name, "crops": crops, "bytes": len(data), "engine": engine, **(more or {})}
    tools.blobs.put(keys.done(key, digest), compact(record), "application/json")
    return name


def done_output(blobs: Blobs, key: str) -> str:
    """Output of the first completion record of a key, or nothing."""
    record = next(iter(blobs.list(keys.done_prefix(key))), None)
    if record is None:
        return ""
    digest = record.removeprefix(keys.done_prefix(key)).removesuffix(".json")
    return keys.patches(key, digest)
