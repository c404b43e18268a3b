"""`farm model …`: the models that jobs may name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farm.cli.context import LONG_PATIENCE_S, client
from farm.cli.show import AsJson, notes, out, table, write_json
from farm.cli.watch import transfer

app = typer.Typer(help="Add and list models.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What jobs call it.")],
    folder: Annotated[Path, typer.Argument(help="A folder in diffusers' layout; a MotionAdapter as motion_adapter/.")],
    as_json: AsJson = False,
) -> None:
    """Add a model folder to the farm, by its content; workers fetch it from there. Known files are not sent again."""
    with client(LONG_PATIENCE_S) as farm, transfer(f"model {name}") as on_bytes:
        model = farm.add_model(name, folder.expanduser(), on_bytes)
    if as_json:
        write_json(model)
        return
    out().print(model.hash)
    notes().print(f"Jobs may name it now: --model {name}", markup=False)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Models by name."""
    with client() as farm:
        models = farm.models()
    if as_json:
        write_json(models)
        return
    rows = [(model.name, model.hash[:12], "yes" if model.has_motion else "no") for model in models]
    table(("model", "hash", "animatediff"), rows, "No models yet. Add one: farm model add NAME FOLDER.")
