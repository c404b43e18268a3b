"""What handlers write the audit with: `with record.change("job.pause", job=job_id, reason=reason): ...`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated, NamedTuple

from fastapi import Depends, Request

from api.auth import Asker, address
from farm.domain.audit import AuditEntry, By
from farm.service.audit import Audit, Change


class Recorder(NamedTuple):
    """Writes entries of whoever asks."""

    audit: Audit
    by: By

    def change(
        self, action: str, *, job: str = "", target: str = "", reason: str = "", **details: object
    ) -> AbstractContextManager[AuditEntry]:
        """Record what is done inside, before it is done. Raises Unavailable if that cannot be written.

        Args:
            action: `noun.verb`.   target: what is changed, if not a job.   details: what it is changed to.
        """
        return self.audit.change(self.by, Change(action, job, target, reason, details))


async def recorder(request: Request, person: Asker) -> Recorder:
    """Of whoever asks."""
    return Recorder(request.app.state.audit, By(person.name, person.role, address(request), person.key))


Record = Annotated[Recorder, Depends(recorder)]
