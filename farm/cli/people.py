"""`farm user …` and `farm key …`: who may use the farm, for what, and by which keys."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from farm.cli.context import client
from farm.cli.show import AsJson, facts, notes, out, size, table, write_json
from farm.client.people import KeyAnswer, People, UserAnswer
from farm.domain.people import Quota, Role

user_app = typer.Typer(help="Who may use the farm, and for how much. For admins, but for `me`.", no_args_is_help=True)
key_app = typer.Typer(help="Keys by which users are known. For admins.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="USER", help="The user's name.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DEFAULT = -1
"""Of a quota's option: the farm's default."""
Jobs = Annotated[
    int | None,
    typer.Option(min=DEFAULT, help="Jobs that have not ended, at once. 0: no limit; -1: the farm's default."),
]
Frames = Annotated[
    int | None, typer.Option(min=DEFAULT, help="Frames of jobs that have not ended. 0: no limit; -1: the default.")
]
UploadBytes = Annotated[
    int | None, typer.Option(min=DEFAULT, help="Bytes uploaded in a day (UTC). 0: no limit; -1: the default.")
]
ROLES = "viewer (look), artist (also submit, and decide about their own jobs) or admin (everything)."


@user_app.command("add")
def add_user(
    name: Name,
    role: Annotated[Role, typer.Option(help=ROLES)] = Role.ARTIST,
    jobs: Jobs = None,
    frames: Frames = None,
    upload_bytes: UploadBytes = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Add a user. They can do nothing until they have a key: farm key create USER"""
    given = {name: value for name, value in _quota(jobs, frames, upload_bytes).items() if value is not None}
    with client() as farm:
        user = People(farm.http).add(name, role, Quota(**given), reason)
    if as_json:
        write_json(user)
        return
    out().print(user.name, user.role.value)
    notes().print(f"Now give {user.name} a key: farm key create {user.name}", markup=False)


@user_app.command("list")
def list_users(as_json: AsJson = False) -> None:
    """All users with their roles, quotas and good keys. The owners of FARM_API_KEYS are not among them."""
    with client() as farm:
        people = People(farm.http)
        found, keys = people.users(), people.keys()
    if as_json:
        write_json(found)
        return
    rows = [_row(user, sum(key.live and key.user == user.name for key in keys)) for user in found]
    table(
        ("user", "role", "keys", "jobs", "frames", "uploads a day", "created"),
        rows,
        "No users yet. Add one: farm user add NAME --role artist",
    )


@user_app.command("set")
def set_user(
    name: Name,
    role: Annotated[Role | None, typer.Option(help=ROLES)] = None,
    jobs: Jobs = None,
    frames: Frames = None,
    upload_bytes: UploadBytes = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Give a user another role or other quotas; it holds for all of their keys, within seconds."""
    quota = _quota(jobs, frames, upload_bytes)
    if role is None and not quota:
        raise typer.BadParameter("give --role, --jobs, --frames or --upload-bytes.")
    with client() as farm:
        user = People(farm.http).change(name, role, quota, reason)
    if as_json:
        write_json(user)
    else:
        out().print(user.name, user.role.value, _told(user.quota))


@user_app.command("remove")
def remove_user(name: Name, yes: Yes = False, reason: Reason = "", as_json: AsJson = False) -> None:
    """Remove a user and revoke all of their keys. Their jobs stay."""
    if not yes:
        typer.confirm(f"Remove {name} and revoke all of their keys?", abort=True)
    with client() as farm:
        People(farm.http).remove(name, reason)
    if as_json:
        write_json({"removed": name})
    else:
        notes().print(f"{name} is gone, and so are their keys.", markup=False)


@user_app.command("me")
def me(as_json: AsJson = False) -> None:
    """Who you are to the farm: role, quota, and what you have of it."""
    with client() as farm:
        found = People(farm.http).me()
    if as_json:
        write_json(found)
        return
    quota, use = found.quota, found.use
    facts(
        {
            "user": found.name,
            "role": found.role.value,
            "key": found.key,
            "jobs": _of(f"{use.jobs:,}", f"{quota.jobs:,}" if quota.jobs else ""),
            "frames": _of(f"{use.frames:,}", f"{quota.frames:,}" if quota.frames else ""),
            "uploads today": _of(size(use.upload_bytes), size(quota.upload_bytes) if quota.upload_bytes else ""),
        }
    )


@key_app.command("create")
def create_key(
    name: Name,
    label: Annotated[str, typer.Option(help="What it is for, such as `ann's laptop`.")] = "",
    days: Annotated[float | None, typer.Option(min=0.001, help="Days after which it ends; never, if left out.")] = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Make a key for a user. It is shown this once: the farm keeps only its digest."""
    with client() as farm:
        made = People(farm.http).create_key(name, label, days, reason)
    if as_json:
        write_json(made)
        return
    out().print(made.key, markup=False)
    until = f"until {made.expires[:16].replace('T', ' ')} UTC" if made.expires else "until it is revoked"
    notes().print(
        f"This is {name}'s key {made.id}, good {until}. It is not shown again. They set FARM_API_KEY to it, or type it "
        f"into the dashboard. To end it: farm key revoke {made.id}",
        markup=False,
    )


@key_app.command("list")
def list_keys(
    name: Annotated[str, typer.Argument(metavar="[USER]", help="Only this user's.")] = "",
    all_: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Keys by id: whose, for what, until when. What they are is not kept."""
    with client() as farm:
        found = People(farm.http).keys(name)
    shown = [key for key in found if all_ or key.live]
    if as_json:
        write_json(shown)
        return
    rows = [
        (key.id, key.user, key.label, _state(key), key.created[:16].replace("T", " "), key.created_by) for key in shown
    ]
    table(("key", "user", "for", "state", "created", "by"), rows, "No keys. Make one: farm key create USER")


@key_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, of `farm key list`.")],
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Have a key open nothing any more, within seconds; its sessions in browsers end too."""
    with client() as farm:
        revoked = People(farm.http).revoke_key(key_id, reason)
    if as_json:
        write_json(revoked)
    else:
        notes().print(f"Key {revoked.id} of {revoked.user} is revoked.", markup=False)


def _quota(jobs: int | None, frames: int | None, upload_bytes: int | None) -> dict[str, int | None]:
    given = {"jobs": jobs, "frames": frames, "upload_bytes": upload_bytes}
    return {name: None if value == DEFAULT else value for name, value in given.items() if value is not None}


def _row(user: UserAnswer, keys: int) -> tuple[object, ...]:
    quota = user.quota
    uploads = size(quota.upload_bytes) if quota.upload_bytes else _limit(quota.upload_bytes)
    return (
        user.name,
        user.role.value,
        keys,
        _limit(quota.jobs),
        _limit(quota.frames),
        uploads,
        user.created[:10],
    )


def _limit(value: int | None) -> str:
    return "default" if value is None else f"{value:,}" if value else "no limit"


def _told(quota: Quota) -> str:
    return f"{_limit(quota.jobs)} jobs, {_limit(quota.frames)} frames, {_limit(quota.upload_bytes)} bytes a day"


def _of(has: str, most: str) -> str:
    return f"{has} of {most}" if most else f"{has} (no limit)"


def _state(key: KeyAnswer) -> Text:
    if key.revoked:
        return Text("revoked", "yellow")
    if not key.live:
        return Text("expired", "yellow")
    return Text(f"until {key.expires[:10]}" if key.expires else "good", "green")
