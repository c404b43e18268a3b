"""Log events: for people on a terminal, as JSON lines elsewhere; always on standard error."""

from __future__ import annotations

import logging
import sys

import structlog


def configure(level: int = logging.WARNING) -> None:
    """Write events from `level` on. Commands whose answer counts keep to warnings; processes tell everything."""
    on_terminal = sys.stderr.isatty()
    faults: structlog.typing.Processor = (
        structlog.dev.set_exc_info if on_terminal else structlog.processors.format_exc_info
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            faults,
            structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
