"""`farm model …`: the models that jobs may name, and what is laid over them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from farm.adapters.model_registry import Added
from farm.cli.context import LONG_PATIENCE_S, client
from farm.cli.show import AsJson, facts, notes, out, size, table, write_json
from farm.cli.watch import transfer
from farm.domain.model import FAMILY_NAMES, ModelKind

app = typer.Typer(help="Add, list and check models, LoRAs, VAEs and embeddings.", no_args_is_help=True)

Kind = Annotated[ModelKind | None, typer.Option(help="What it is; read from its files if left out.")]
Name = Annotated[str, typer.Argument(help="Name or content hash.")]
HOW_TO_USE: dict[str, str] = {
    "model": "--model {}",
    "vae": "--vae {}",
    "lora": "--loras {}:0.8",
    "embedding": "embedding:{} in a prompt",
    "detector": "--detect {}",
    "sam": "--detect face --detect-sam {}",
}
DAMAGED = 1
"""Exit code of `verify` where a file is not what it was."""


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What jobs call it.")],
    path: Annotated[
        Path,
        typer.Argument(
            help="A folder in diffusers' layout (a MotionAdapter as motion_adapter/), or one .safetensors file: a "
            "checkpoint of Stable Diffusion 1.x, 2.x or SDXL, a VAE, a LoRA, an embedding; or one .onnx file: "
            "a YOLO detector. No .ckpt, no .pt."
        ),
    ],
    kind: Kind = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="Folder with vocab.json and merges.txt, for a checkpoint whose vocabulary is not CLIP's."),
    ] = None,
    prediction: Annotated[
        Literal["epsilon", "v_prediction"] | None,
        typer.Option(help="What a checkpoint's network predicts; read from the file if left out."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Send every file, also those that the farm has.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add a model, a LoRA and so on, by its content; workers fetch it from there. Known files are not sent again."""
    added = Added(tokenizer.expanduser() if tokenizer else None, prediction, kind, again)
    with client(LONG_PATIENCE_S) as farm, transfer(f"model {name}") as on_bytes:
        model = farm.add_model(name, path.expanduser(), on_bytes, added)
    if as_json:
        write_json(model)
        return
    out().print(model.hash)
    if model.kind in HOW_TO_USE:
        notes().print(f"Jobs may name it now: {HOW_TO_USE[model.kind].format(name)}", markup=False)


@app.command("list")
def list_(kind: Kind = None, as_json: AsJson = False) -> None:
    """Models by name."""
    with client() as farm:
        models = farm.models(kind)
    if as_json:
        write_json(models)
        return
    rows = [(m.name, m.kind, _family(m.family), m.hash[:12], "yes" if m.has_motion else "no") for m in models]
    table(("model", "kind", "of", "hash", "animatediff"), rows, "No models yet. Add one: farm model add NAME PATH.")


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """What a model is, and its files."""
    with client() as farm:
        model, files = farm.model(name)
    if as_json:
        write_json({"model": model, "files": files})
        return
    facts(
        {
            "name": model.name,
            "hash": model.hash,
            "kind": model.kind,
            "of": _family(model.family),
            "text width": model.text_width or None,
            "latent channels": model.latent_channels or None,
            "motion module": "yes" if model.has_motion else None,
            "size": size(sum(file.size for file in files)),
        }
    )
    table(("file", "size", "sha256"), [(file.path, size(file.size), file.sha256[:12]) for file in files], "")


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names or hashes; all models if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Have the farm read the stored files anew and compare them with what was added. Exit code 1: one differs."""
    found = []
    with client(LONG_PATIENCE_S) as farm:
        for name in names or sorted(model.name for model in farm.models()):
            found += [(name, check) for check in farm.verify_model(name)]
    if as_json:
        write_json([{"model": name, "path": check.path, "state": check.state} for name, check in found])
    else:
        rows = [(name, check.path, check.state) for name, check in found]
        table(("model", "file", "state"), rows, "No models yet. Add one: farm model add NAME PATH.")
    if any(check.state != "ok" for _, check in found):
        notes().print("To repair a model, add it again under its name, with --again, which sends every file.")
        raise typer.Exit(DAMAGED)


def _family(family: str) -> str:
    known: dict[str, str] = {name: text for name, text in FAMILY_NAMES.items() if name}
    return known.get(family, "")
