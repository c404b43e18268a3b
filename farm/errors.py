"""Every way the farm says no.

Two families: `Rejected` (the input is wrong: never retried, a 4xx for the API, says what to change) and
`Unavailable` (try again: backoff, another worker).
"""

from __future__ import annotations

import errno


class FarmError(Exception):
    """A failure that the farm foresaw; its text is written for the person who reads it."""


class Rejected(FarmError):
    """The request cannot be met as it is. The text says what was seen, what is needed and what to change."""


class NotFound(Rejected):
    """A named thing does not exist."""


class Conflict(Rejected):
    """The request is well formed but the job's state does not allow it."""


class TooLarge(Rejected):
    """An input is over a limit; the text names the limit and the setting that holds it."""


class BadFrame(Rejected):
    """One frame of a clip cannot be read; its chunk fails, the job's other chunks go on."""

    def __init__(self, number: int, reason: str) -> None:
        self.number = number
        super().__init__(
            f"Frame {number} of the input cannot be read: {reason.removesuffix('.')}. "
            f"Replace this frame and submit again; finished frames are kept and will not be rendered again."
        )


class CropRejected(Rejected):
    """Something is wrong with one crop; of a batch, the others may be made without it."""


class CropTooSmall(CropRejected):
    """A crop has too few pixels to be sampled."""

    def __init__(self, what: str, size: tuple[float, float], minimum: int) -> None:
        self.size = size
        super().__init__(
            f"The {what} of a segment is {size[0]:g}x{size[1]:g} px; each side must be at least {minimum} px. "
            f"Raise `crop_factor`, `guide_size` or `max_size`, or drop such segments with a larger `drop_size`."
        )


class Unavailable(FarmError):
    """A service or a machine failed; the same request may succeed later."""


class DiskFull(Unavailable):
    """A disk of this machine takes no more; others may have room."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"No space is left on this machine's disk at {where}. Free some: models are kept in FARM_CACHE_DIR, up to "
            f"FARM_CACHE_GB, and scratch files in TMPDIR. Other workers try the task meanwhile."
        )


def disk_full(error: BaseException) -> DiskFull | None:
    """The farm's word for a full disk, or a quota that is used up; None for any other error."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(str(error.filename or "its cache or scratch folder"))
    return None


class Damaged(FarmError):
    """What was read is not what was written; it is tried again, a few times."""


class LeaseLost(Unavailable):
    """This worker's lease on a task has ended; whatever it made is not used."""


class ToldToEnd(Unavailable):
    """This worker was told to end, and its time is over; the task goes to another one."""


class Canceled(FarmError):
    """The job was canceled while the task ran."""


class OutOfMemory(Unavailable):
    """The device has too little memory for this batch; a smaller one may fit."""
