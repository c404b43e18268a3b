"""`farm`: the entry point, and how every failure is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version as package_version
from typing import NoReturn

import typer

from farm.cli import audit, comfy, detect, doctor, gc, job, logs, model, people, process, render, task, up, worker
from farm.cli.faults import INTERRUPTED, USAGE, exit_code
from farm.cli.show import AsJson, notes, out, write_json
from farm.errors import FarmError

app = typer.Typer(
    name="farm",
    help="Detail long animations with diffusion models, on one machine or many.\n\n"
    "On one machine: [bold]farm up[/bold] in one terminal, then "
    "[bold]farm job submit clip.mp4 --mask face.png --prompt 'sharp, detailed' --wait[/bold] in another.",
    epilog="Exit codes: 0 completed, 1 failed, 2 canceled, 3 timed out, 64 wrong usage, 65 refused by the farm, "
    "69 a server does not answer.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
JOBS, MACHINES, CARE = "Jobs", "Machines", "Looking after it"
app.add_typer(job.app, name="job", rich_help_panel=JOBS)
app.add_typer(model.app, name="model", rich_help_panel=JOBS)
app.command("detect", rich_help_panel=JOBS, epilog=detect.EPILOG)(detect.detect)
app.add_typer(comfy.app, name="comfy", rich_help_panel=JOBS)
app.command("render", rich_help_panel=JOBS, epilog=render.EPILOG)(render.render)
app.command("up", rich_help_panel=MACHINES)(up.up)
app.command("down", rich_help_panel=MACHINES)(up.down)
app.add_typer(process.worker_app, name="worker", rich_help_panel=MACHINES)
app.command("api", rich_help_panel=MACHINES)(process.api)
app.command("workers", rich_help_panel=CARE)(worker.workers)
app.command("doctor", rich_help_panel=CARE)(doctor.doctor)
app.command("gc", rich_help_panel=CARE)(gc.gc)
app.add_typer(task.app, name="task", rich_help_panel=CARE)
app.add_typer(people.user_app, name="user", rich_help_panel=CARE)
app.add_typer(people.key_app, name="key", rich_help_panel=CARE)
app.command("audit", rich_help_panel=CARE)(audit.audit)


@app.command(rich_help_panel=CARE)
def version(as_json: AsJson = False) -> None:
    """Version of the farm and of what its pixels depend on."""
    found = {name: _version(name) for name in ("detail-farm", "torch", "diffusers", "numpy", "pillow", "av", "celery")}
    if as_json:
        write_json(found)
    else:
        for name, number in found.items():
            out().print(f"{name} {number}")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and end the process with its exit code. Failures are one paragraph, never a stack trace."""
    logs.configure()
    try:
        code = app(args=list(arguments) if arguments is not None else None, standalone_mode=False)
    except FarmError as error:
        told(str(error))
        sys.exit(exit_code(error))
    except typer.TyperException as error:
        if said := error.format_message().rstrip("."):
            told(f"{said}. See --help.")
        sys.exit(USAGE)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def told(text: str) -> None:
    """One paragraph on standard error."""
    notes().print(f"farm: {text}", markup=False, soft_wrap=True)


def _version(name: str) -> str:
    try:
        return package_version(name)
    except ModuleNotFoundError:
        return "not installed"
