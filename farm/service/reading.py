"""The names of what ingest tasks write: by what they read, so that a second job of a clip finds it done."""

from __future__ import annotations

from farm.domain import keys
from farm.domain.media import Group, Media


def document_name(media: Media, use: str, group: Group) -> str:
    """Name of the document that lists a group's frames; `use` is `frame` or `mask`."""
    key = keys.content_key("ingest", {"media": media.id, "use": use, "group": [group.start, group.frames]})
    return keys.ingest(key)
