"""Strangers' videos and SEGS documents, looked at in a process that may take so much memory and time, and no more.

A file of 700 bytes can make a video reader ask for gigabytes, stand still or crash. Here that ends a child, and not the
server that was handed the file. The child has none of the farm's keys in its environment, and writes no file.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, Literal

from farm.adapters.media_segs import MAX_SEGS_BYTES, admit_segs
from farm.adapters.media_sequence import Limits
from farm.adapters.media_video import admit_video
from farm.domain.media import Media
from farm.errors import Rejected, TooLarge, Unavailable

Kind = Literal["video", "segs"]

AT_ONCE = 4
"""Files that one process has looked at at the same time; others wait."""
BASE_BYTES = 512 << 20
"""Memory that the look at any file may take, beyond what the interpreter has."""
BYTES_PER_PIXEL = 16
"""Memory for each pixel that a frame may have: some decoded frames, and one as RGB."""
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "SYSTEMROOT", "TMPDIR")
"""What a child is told of the environment. Keys and passwords are in other variables."""

_turns = BoundedSemaphore(AT_ONCE)


class LookFailed(Rejected):
    """A file that cannot be looked at within the limits, or whose reader crashed."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(
            f"{name!r} cannot be used: {fault}. It may be damaged, or made to do harm. Encode it anew, such as "
            f"`ffmpeg -i IN -c:v libx264 -crf 12 OUT.mp4`, or give its frames as pictures."
        )


def look_apart(kind: Kind, path: Path, name: str, limits: Limits) -> Media:
    """Describe a video or a SEGS document as `look` does, in a child with limits.

    Raises:
        Rejected: as `look`; also LookFailed: too much memory, too long, a crash.   Unavailable: no child can be made.
    """
    asked = {"kind": kind, "path": str(path.absolute()), "name": name, "limits": limits}
    try:
        with _turns:
            child = subprocess.run(
                # -P: what was handed in lies in a folder, perhaps as `json.py`, and is never a module.
                [sys.executable, "-P", "-m", __name__],
                input=json.dumps(asked).encode(),
                env=_environment(),
                cwd=path.anchor or None,
                capture_output=True,
                timeout=limits.look_s,
                check=False,
            )
    except subprocess.TimeoutExpired:
        fault = f"a look at it takes longer than {limits.look_s:g} s (FARM_UPLOAD_LOOK_S)"
        raise LookFailed(name, fault) from None
    except OSError as error:
        raise Unavailable(f"The API's machine cannot start a process ({error.strerror}); try again later.") from error
    return _answer(child, name)


def look(kind: Kind, path: Path, name: str, limits: Limits) -> Media:
    """Describe a video or a SEGS document, in this process. Raises as `admit_video` and `admit_segs`."""
    if kind == "video":
        return admit_video(path, name, limits)
    size = path.stat().st_size
    if size > MAX_SEGS_BYTES:
        raise TooLarge(
            f"The SEGS document {name!r} has {size:,} bytes; at most {MAX_SEGS_BYTES:,} are read. "
            f"Give masks as a video."
        )
    return admit_segs(path.read_bytes(), name, limits)


def _answer(child: subprocess.CompletedProcess[bytes], name: str) -> Media:
    if child.returncode:
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"code {child.returncode}"
        raise LookFailed(name, f"its reader crashed ({how})")
    answer: dict[str, Any] = json.loads(child.stdout)
    if "media" in answer:
        return Media.model_validate(answer["media"])
    if answer["refused"] == "memory":
        raise LookFailed(name, "its reader asks for more memory than such a file may take (FARM_MAX_PIXELS)")
    family = TooLarge if answer["refused"] == "too-large" else Rejected
    raise family(answer["text"])


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _limit(limits: Limits) -> None:
    """Bound this process, from here on: memory, processor time, open files, and no file is written."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    taken = pages * resource.getpagesize()
    bounds = {
        resource.RLIMIT_AS: taken + BASE_BYTES + BYTES_PER_PIXEL * limits.max_pixels,
        resource.RLIMIT_CPU: int(limits.look_s) + 1,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in bounds.items():
        hard = resource.getrlimit(kind)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))


def _child() -> None:
    asked: dict[str, Any] = json.load(sys.stdin)
    limits = Limits(*asked["limits"])
    _limit(limits)
    answer: dict[str, Any]
    try:
        answer = {"media": look(asked["kind"], Path(asked["path"]), asked["name"], limits).model_dump(mode="json")}
    except TooLarge as error:
        answer = {"refused": "too-large", "text": str(error)}
    except Rejected as error:
        answer = {"refused": "rejected", "text": str(error)}
    except (MemoryError, RecursionError):
        answer = {"refused": "memory"}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    _child()
