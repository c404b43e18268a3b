"""What a request stands for: itself, or another job with changes."""

from __future__ import annotations

from farm.domain.job import JobRequest
from farm.domain.like import LikeRequest, alike
from farm.service.documents import Documents


def meant(request: JobRequest | LikeRequest, documents: Documents) -> JobRequest:
    """A request that stands for itself: one that names another job is made from that job's document.

    Raises:
        NotFound: there is no such job.   Rejected: a path or a value cannot be.
    """
    if isinstance(request, JobRequest):
        return request
    job = documents.job(request.like)
    return alike(job, documents.media(job.input.id), request)
