"""What notebooks show: a job with its last picture, frames before and after, workers. Plain HTML, nothing is loaded."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from html import escape

from farm.client.answers import FrameAnswer, JobAnswer, WorkerAnswer
from farm.errors import FarmError

Preview = Callable[[int | None, str, int], bytes]
"""Number (None: the last one), `input` or `final`, and pixels of width -> a WebP. Raises NotFound."""

COLORS = {"completed": "#2e7d32", "active": "#0277bd", "failed": "#c62828", "paused": "#b26a00", "canceled": "#b26a00"}
PICTURE_PX = 320
SMALL_PX = 200
SHOWN = 12
"""Frames, evenly taken of a list, that are shown."""


def job_html(job: JobAnswer, preview: Preview) -> str:
    """A job's state, its progress, and the last picture that was made."""
    share = job.frames.done / max(job.frames.total, 1)
    color = COLORS.get(job.status, "#616161")
    eta = f" · about {job.eta.seconds:.0f} s to go" if job.eta and not job.has_ended else ""
    said = escape(job.waiting_reason or job.activity)
    return (
        f'<div style="display:flex;gap:16px;align-items:flex-start;font-family:sans-serif">'
        f"{_picture(preview, None, 'final', PICTURE_PX)}"
        f"<div><b>{escape(job.name or job.id)}</b> {_pill(job.status, color)}<br><small>{escape(job.id)}</small>"
        f'<div style="width:320px;height:8px;margin:8px 0;background:#8883;border-radius:4px">'
        f'<div style="width:{100 * share:.1f}%;height:8px;background:{color};border-radius:4px"></div></div>'
        f"{job.frames.done} of {job.frames.total} frames{eta}<br><small>{said}</small></div></div>"
    )


def frames_html(frames: Sequence[FrameAnswer], preview: Preview) -> str:
    """Frames before and after; of many, some from first to last."""
    step = max(1, -(-len(frames) // SHOWN))
    rows = "".join(_frame_row(frame, preview) for frame in frames[::step])
    left = f"<p><small>{len(frames[::step])} of {len(frames)} frames</small></p>" if step > 1 else ""
    return f"<table><tr><th>frame</th><th>before</th><th>after</th></tr>{rows}</table>{left}"


def workers_html(workers: Iterable[WorkerAnswer]) -> str:
    """A line per worker."""
    rows = "".join(
        f"<tr><td>{escape(worker.id)}</td><td>{escape(worker.state)}</td><td>{escape(worker.host)}</td>"
        f"<td>{escape(worker.device)}</td><td>{escape(', '.join(worker.queues))}</td>"
        f"<td>{escape(', '.join(worker.tasks))}</td></tr>"
        for worker in workers
    )
    heads = "".join(f"<th>{name}</th>" for name in ("worker", "state", "host", "device", "queues", "tasks"))
    return f"<table><tr>{heads}</tr>{rows}</table>"


def _frame_row(frame: FrameAnswer, preview: Preview) -> str:
    before = _picture(preview, frame.number, "input", SMALL_PX)
    after = _picture(preview, frame.number, "final", SMALL_PX) if frame.state == "completed" else escape(frame.state)
    return f"<tr><td>{frame.number}</td><td>{before}</td><td>{after}</td></tr>"


def _picture(preview: Preview, number: int | None, of: str, width: int) -> str:
    """A picture as part of the page; nothing where there is none yet."""
    try:
        data = base64.b64encode(preview(number, of, width)).decode()
    except FarmError:
        return ""
    return f'<img src="data:image/webp;base64,{data}" style="max-width:{width}px" alt="">'


def _pill(text: str, color: str) -> str:
    return f'<span style="padding:1px 8px;border-radius:8px;color:#fff;background:{color}">{escape(text)}</span>'
