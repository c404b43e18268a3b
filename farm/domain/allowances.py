"""How much of the farm somebody may have: the part of the settings that says so."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from farm.domain.people import Quota


class Allowances(BaseModel):
    """Rates and default quotas; each field `x` is the variable `FARM_X`."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    rate_per_key: Annotated[int, Field(ge=0, le=10_000_000)] = 12_000
    """Requests a minute with one key, streams and long polls counted once. 0: any number."""

    rate_per_address: Annotated[int, Field(ge=0, le=10_000_000)] = 24_000
    """Requests a minute from one address, an IPv6 /64 counting as one; several users may sit behind it. 0: any
    number."""

    rate_wrong_keys: Annotated[int, Field(ge=0, le=10_000_000)] = 30
    """Tries a minute with wrong keys from one address; beyond, no key from there is looked at. 0: any number."""

    quota_jobs: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Jobs of one user that have not ended. 0: no limit. `farm user set` gives a user another one, as of all quotas."""

    quota_frames: Annotated[int, Field(ge=0, le=10**12)] = 0
    """Frames of one user's jobs that have not ended. 0: no limit."""

    quota_upload_bytes: Annotated[int, Field(ge=0, le=10**18)] = 0
    """Bytes that one user may upload in a day (UTC), clips and models. 0: no limit."""

    upload_look_s: Annotated[float, Field(gt=0, le=86_400)] = 600
    """Seconds that the API's look at one uploaded video or SEGS document may take; then it is refused."""

    def default_quota(self) -> Quota:
        """What a user has who has none of their own."""
        return Quota(jobs=self.quota_jobs, frames=self.quota_frames, upload_bytes=self.quota_upload_bytes)
