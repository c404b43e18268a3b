"""Listeners that are told and do nothing: what is taken where nobody wants to hear."""

from __future__ import annotations

from farm.client.answers import JobAnswer


def no_bytes(done: int, total: int) -> None:
    """Bytes that are there, and bytes in all."""


def no_job(job: JobAnswer) -> None:
    """A job that has changed."""


def no_chunk(chunk: int) -> None:
    """Chunks that were looked at."""
