"""Where a farm is, if the caller does not say."""

from __future__ import annotations

from farm.settings import Settings


def address(url: str | None, api_key: str | None) -> tuple[str, str | None]:
    """The address and the key that are given; without an address those of FARM_URL and FARM_API_KEY.

    A key of the environment is sent to the environment's address only.
    """
    if url is not None:
        return url, api_key
    settings = Settings.read()
    return settings.url, api_key or settings.api_key
