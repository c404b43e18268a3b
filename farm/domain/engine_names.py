"""The engines by name and version: part of every content key. Raise a version whenever its pixels change."""

from __future__ import annotations

ENGINE_VERSIONS = {"diffusers": "diffusers-1", "fake": "fake-1"}
"""Setting `engine` -> what goes into `Job.engine` and the keys."""
