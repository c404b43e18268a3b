"""Golden cases of ComfyUI: its models, schedules, samplers and whole nodes, on a tiny trained network."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor

from farm.errors import Rejected
from tests.golden.comfy_rows import Array, Arrays, Row, not_known
from tests.golden.tally import Tally
from workers.gpu.denoiser import Context, Guidance
from workers.gpu.networks import still_network
from workers.gpu.noise import Streams, clip_streams, crop_streams
from workers.gpu.samplers.registry import SAMPLERS
from workers.gpu.sampling import Painter, Sampling, parts, sample
from workers.gpu.schedules import schedule
from workers.gpu.sigmas import SigmaTable, betas_of
from workers.gpu.vae import Codec

OURS = Path(__file__).parent / "vectors" / "comfy"
"""The networks of a folder that does not bring them itself."""

SAMPLES = 5e-4
"""Largest difference of latents over their standard deviation."""
SAMPLES_OF = {"dpm_adaptive": 1e-1, "deis": 3e-3} | dict.fromkeys(
    ("dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu"), 2e-3
)
LMS_LINEAR_QUADRATIC = 2e-2
IMAGE_LEVELS, IMAGE_MEAN = 2, 0.01
"""Levels of 255 by which a decoded picture may differ at the most, and in the mean."""
EPS, LATENT, DECODED = 1e-5, 1e-5, 3e-5
SIGMAS = 1e-5


@dataclass(frozen=True)
class Models:
    """The tiny network, its VAE and its noise levels."""

    unet: Any
    codec: Codec
    table: SigmaTable

    def painter(self, positive: Tensor, negative: Tensor, cfg: float) -> Painter:
        """As a node is given it: with text, for rows that do not see each other."""
        guidance = Guidance(positive, negative, cfg)
        return Painter(still_network(self.unet), self.table, self.codec.scaling, guidance, Context(16))


def check_folder(folder: Path) -> Tally:
    """All rows of the folder's manifest and, where it has them, its two files of single values."""
    manifest = json.loads((folder / "manifest.json").read_text())
    tally = Tally()
    torch.set_num_threads(manifest.get("threads", 1))
    with torch.inference_mode():
        models = load_models(folder, manifest["weights"])
        if (folder / "unit_models.npz").exists():
            tally.record("unit_models", _model_faults(models, _arrays(folder / "unit_models.npz")), [], False)
        if (folder / "unit_sigmas.npz").exists():
            for name, faults in _sigma_faults(models.table, _arrays(folder / "unit_sigmas.npz")).items():
                tally.record(f"unit_sigmas {name}", faults, [], False)
        for row in manifest["rows"]:
            _check_row(models, row, folder, tally)
    return tally


def load_models(folder: Path, weights: Row) -> Models:
    """The networks that a manifest describes."""
    states = load_file(_weights_file(folder, weights))
    kinds: tuple[Any, Any] = (UNet2DConditionModel, AutoencoderKL)
    unet, vae = (kind(**weights[name]) for kind, name in zip(kinds, ("unet", "vae"), strict=True))
    for network, prefix in ((unet, "unet."), (vae, "vae.")):
        network.load_state_dict({k.removeprefix(prefix): v for k, v in states.items() if k.startswith(prefix)})
        network.eval()
    codec = Codec(vae, torch.device("cpu"), torch.float32)
    return Models(unet, codec, SigmaTable(betas_of({})))


def _weights_file(folder: Path, weights: Row) -> Path:
    """The folder's own file, or ours where it names the same bytes."""
    file = folder / str(weights["file"])
    file = file if file.exists() else OURS / file.name
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != weights.get("sha256", digest):
        raise ValueError(f"{file} is not the file that the manifest names: its sha256 is {digest}")
    return file


def _arrays(path: Path) -> Arrays:
    with np.load(path) as found:
        return dict(found)


def _check_row(models: Models, row: Row, folder: Path, tally: Tally) -> None:
    name = f"{row['id']:03d} {row.get('node', '')}{' ' if 'node' in row else ''}{row['sampler_name']}"
    if row["sampler_name"] not in SAMPLERS:
        return tally.record(name, [], [f"the sampler {row['sampler_name']} is not implemented yet"], True)
    if faults := not_known(row):
        return tally.record(name, faults, [], False)
    if not row.get("finite", True):
        return tally.record(name, [], ["the original's result is not finite: there is nothing to compare"], True)
    try:
        arrays = _arrays(folder / row["file"])
        faults = _faults(models, row, arrays)
    except Exception as error:  # noqa: BLE001  # a row that fails in any way is one failure, not the end of the run
        faults = [f"raises {error!r}"]
    return tally.record(name, faults, [], False)


def _faults(models: Models, row: Row, arrays: Arrays) -> list[str]:
    if row["kind"] == "sample":
        return _sample_faults(models, row, arrays)
    # Imported here: that module builds on this one.
    from tests.golden.comfy_nodes import node_faults

    return node_faults(models, row, arrays)


def _model_faults(models: Models, arrays: Arrays) -> list[str]:
    values = {name: torch.from_numpy(array) for name, array in arrays.items()}
    found = {
        "eps": (models.unet(values["x"], values["t"], values["ctx"]).sample.numpy(), EPS),
        "latent": (models.codec.encode(list(arrays["image"])).numpy(), LATENT),
        "decoded": (np.stack(models.codec.decode(values["latent"])), DECODED),
    }
    return [
        f"{name} differs by {error:.1e}"
        for name, (ours, allowed) in found.items()
        if (error := float(np.abs(ours - arrays[name]).max())) > allowed
    ]


def _sigma_faults(table: SigmaTable, arrays: Arrays) -> dict[str, list[str]]:
    faults: dict[str, list[str]] = {}
    for name, theirs in arrays.items():
        scheduler, _, steps = name.partition("|")
        try:
            ours = schedule(scheduler, table, "euler", int(steps)).numpy() if steps else table.sigmas.numpy()
        except (Rejected, ValueError) as error:
            faults[name] = [f"raises {error!r}"]
            continue
        faults[name] = _levels_apart(ours, theirs)
    return faults


def _levels_apart(ours: Array, theirs: Array) -> list[str]:
    if ours.shape != theirs.shape:
        return [f"{len(ours)} noise levels instead of {len(theirs)}"]
    close = np.isclose(ours, theirs, rtol=SIGMAS, atol=0)
    return [] if close.all() else [f"{np.count_nonzero(~close)} noise levels differ"]


def _sample_faults(models: Models, row: Row, arrays: Arrays) -> list[str]:
    values = {name: torch.from_numpy(array) for name, array in arrays.items()}
    sampling = Sampling(
        row["sampler_name"],
        row["scheduler"],
        row["steps"],
        row["denoise"],
        row["route"],
        differential=row["mask"] == "diff",
    )
    latents = values["latent_in"]
    mask = latent_mask(values["mask"], latents) if "mask" in values else None
    if (mask is None) != (row["mask"] == "none"):
        return [f"the row says that its mask is {row['mask']!r}, its file says otherwise"]
    if "sigmas" in arrays and (faults := _levels_apart(_sigmas(sampling, models.table), arrays["sigmas"])):
        return faults
    painter = models.painter(values["pos"], values["neg"], row["cfg"])
    ours = sample(latents, [painter], sampling, streams(row["seed"], len(latents)), mask)
    theirs = values["samples"]
    error = float((ours - theirs).abs().max() / theirs.std())
    if not error <= _allowed(row):
        return [f"latents differ by {error:.1e} of their standard deviation"]
    levels = np.abs(np.round(np.stack(models.codec.decode(ours)) * 255) - arrays["image"].astype(np.float64))
    if levels.max() > IMAGE_LEVELS or levels.mean() > IMAGE_MEAN:
        return [f"the picture differs by up to {levels.max():.0f} levels, {levels.mean():.3f} in the mean"]
    return []


def _sigmas(sampling: Sampling, table: SigmaTable) -> Array:
    """The noise levels that are run."""
    (part,) = parts(sampling, [table])
    levels: Array = part.sigmas.numpy()
    return levels


def latent_mask(mask: Tensor, latents: Tensor) -> Tensor:
    """A row's mask at the latents' size, one per row of the batch: fewer masks are repeated over it (PARITY 3.6)."""
    scaled = torch.nn.functional.interpolate(mask.reshape(-1, 1, *mask.shape[-2:]), latents.shape[-2:], mode="bilinear")
    return scaled.repeat(-(-len(latents) // len(scaled)), 1, 1, 1)[: len(latents)]


def streams(seed: int, rows: int) -> Streams:
    """Noise as the original draws it: one tensor for all rows."""
    return clip_streams(seed, range(rows), rows) if rows > 1 else crop_streams([seed])


def _allowed(row: Row) -> float:
    if (row["sampler_name"], row["scheduler"]) == ("lms", "linear_quadratic"):
        return LMS_LINEAR_QUADRATIC
    return SAMPLES_OF.get(row["sampler_name"], SAMPLES)
