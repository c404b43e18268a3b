"""`farm worker` and `farm api`: one process each, for machines of their own; `farm worker drain` beside them."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from farm.cli import logs
from farm.cli.context import settings
from farm.cli.worker import drain, undrain

worker_app = typer.Typer()


@worker_app.callback(invoke_without_command=True)
def worker(
    called: typer.Context,
    queues: Annotated[
        str,
        typer.Option(
            help="What it serves, with commas: cpu (decode, plan, paste, encode) and gpu (every class up to this "
            "device's memory), or single classes such as gpu.24."
        ),
    ] = "cpu,gpu",
    name: Annotated[str, typer.Option(help="Unique among living workers; made up if left out.")] = "",
) -> None:
    """Run one worker process; one per GPU. Ctrl-C or SIGTERM: it finishes its task and ends.

    It needs FARM_REDIS_URL, FARM_S3_ENDPOINT, FARM_S3_BUCKET and S3's keys, or a `farm up` in this folder. Example on
    another machine: farm worker --queues gpu
    """
    if called.invoked_subcommand is not None:
        return
    logs.configure(logging.INFO)
    from workers.process import WorkerProcess

    names = [queue.strip() for queue in queues.split(",") if queue.strip()]
    if not names:
        raise typer.BadParameter("name at least one queue, such as cpu,gpu.", param_hint="--queues")
    WorkerProcess(settings(), names, name).run()


worker_app.command("drain")(drain)
worker_app.command("undrain")(undrain)


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, show_default="8750")] = None,
) -> None:
    """Run the API. On an address that other machines can reach it needs FARM_API_KEYS."""
    logs.configure(logging.INFO)
    from api.main import serve
    from workers.forecast import Forecaster

    chosen = {"api_host": host, "api_port": port}
    read = settings()
    found = read.model_copy(update={name: value for name, value in chosen.items() if value is not None})
    serve(found, lambda to: Forecaster(to.farm, to.blobs, found.cache_folder(), found.max_pixels))
