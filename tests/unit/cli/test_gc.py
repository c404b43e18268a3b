"""`farm gc` in the audit."""

from __future__ import annotations

import getpass
import socket

from farm.adapters.clock import random_mark, system_mint
from farm.adapters.memory_blobs import MemoryBlobs
from farm.cli.gc import recorded
from farm.domain.audit import AuditFilter
from farm.service.audit import Audit
from farm.service.gc import GcRequest


def test_what_an_operator_collects_is_in_the_audit_under_the_machines_user() -> None:
    blobs = MemoryBlobs()
    with recorded(blobs, GcRequest(now=0.0, jobs=("j1",), dry_run=True), "to see"):
        pass
    with recorded(blobs, GcRequest(now=0.0, jobs=("j1",), keep_outputs=True), "room"):
        pass
    (entry,), _ = Audit(blobs, system_mint().now, random_mark).page(AuditFilter())
    assert (entry.action, entry.reason, entry.actor) == ("farm.gc", "room", getpass.getuser())
    assert entry.address == socket.gethostname()
    assert entry.details["jobs"] == ["j1"]
    assert entry.details["keep_outputs"] is True
