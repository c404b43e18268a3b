"""`farm job notices`: what became of a job's webhooks and mails."""

from __future__ import annotations

from farm.cli.context import client, resolved
from farm.cli.decide import JobId
from farm.cli.show import AsJson, notes, state, table, write_json

HEAD = ("event", "by", "to", "state", "attempts", "last", "error")


def notices(job_id: JobId, as_json: AsJson = False) -> None:
    """Webhooks and mails of a job: sent, waiting for another attempt, or given up (dead), and why."""
    with client() as farm:
        found = farm.http.get(f"/jobs/{resolved(job_id)}/notices")
    if as_json:
        write_json(found)
        return
    rows = []
    for one in found["latest"]:
        last = one["attempts"][-1] if one["attempts"] else {"at": "", "error": ""}
        said = (last["at"][:19].replace("T", " "), last["error"])
        rows.append((one["kind"], one["by"], one["to"], state(one["state"]), len(one["attempts"]), *said))
    table(HEAD, rows, "No notices. Ask for them at submission: --webhook URL, --notify ADDRESS.")
    notes().print(f"{found['sent']} sent, {found['waiting']} waiting, {found['dead']} given up.")
