"""The checks of `farm doctor`: each looks at one thing and tells what it found, in one line or several."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import av
from av.codec import Codec

from farm.cli.checks_farm import check_api, check_model, check_workers
from farm.cli.checks_servers import check_redis, check_store
from farm.cli.findings import Finding, bad, note, ok
from farm.cli.show import size
from farm.settings import Settings

LEAST_FREE_BYTES = 5 * 10**9
"""Of a disk that holds a farm's data: below it a job of a few minutes may not fit."""
TORCH_S = 120.0
"""Seconds for torch to load: its first import on a slow disk reads gigabytes."""
DRIVER_S = 20.0
"""Seconds for the driver to answer; one that hangs never does."""
ENCODER: Final = "libx264"
"""What videos are written with."""
DECODERS = ("h264", "hevc", "vp9", "av1", "prores", "png")
"""What clips mostly are."""
_TORCH = """
import json, torch
cuda = torch.cuda.is_available()
names = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())] if cuda else []
gpus = [[gpu.name, gpu.total_memory] for gpu in names]
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "gpus": gpus}))
"""


def check_torch(settings: Settings) -> Iterator[Finding]:
    """Whether the engine can run here, and on what. Torch is asked in a process of its own: it may hang or crash."""
    if settings.engine == "fake":
        yield note("torch", "not needed: FARM_ENGINE is fake.", "Unset it for real pictures.")
        return
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _TORCH], capture_output=True, text=True, timeout=TORCH_S, check=False
        )
    except subprocess.TimeoutExpired:
        yield bad("torch", f"It did not load within {TORCH_S:g} s.", "Look at the GPU's driver.")
        return
    if asked.returncode != 0:
        last = (asked.stderr.strip().splitlines() or ["it cannot be loaded"])[-1]
        yield bad("torch", last, "Install it: pip install 'detail-farm[gpu]'. Only workers need it.")
        return
    about = json.loads(asked.stdout.splitlines()[-1])
    built = f"{about['version']}, built for {'CUDA ' + about['cuda'] if about['cuda'] else 'the CPU'}"
    gpus = [f"{name}, {size(memory)}" for name, memory in about["gpus"]]
    if settings.device == "cuda" and not gpus:
        cure = "Install torch's CUDA build and a driver (nvidia-smi must list the GPU), or set FARM_DEVICE=auto."
        yield bad("torch", f"{built}, but it sees no GPU and FARM_DEVICE is cuda.", cure)
    elif not gpus:
        yield note("torch", f"{built}, no GPU: the CPU is used, which is slow.", "")
    else:
        yield ok("torch", f"{built}, {'; '.join(gpus)}")


def check_gpu(settings: Settings) -> Iterator[Finding]:
    """What the driver says of this machine's GPUs; nothing is wrong with a machine that has none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        found = "no nvidia-smi: this machine has no NVIDIA driver"
        if settings.device == "cuda":
            yield bad("gpu", f"{found}, but FARM_DEVICE is cuda.", "Install it.")
        else:
            yield ok("gpu", found)
        return
    fields = "name,driver_version,memory.used,memory.total,temperature.gpu,ecc.errors.uncorrected.volatile.total"
    command = [tool, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=DRIVER_S, check=False)
    except subprocess.TimeoutExpired:
        yield bad("gpu", f"The driver did not answer within {DRIVER_S:g} s.", "Restart the machine; look at dmesg.")
        return
    if asked.returncode != 0:
        said = (asked.stdout.strip() or asked.stderr.strip()).splitlines() or ["it says nothing"]
        yield bad("gpu", f"The driver answers with: {said[-1]}", "Install a driver that fits the kernel; restart.")
        return
    for number, line in enumerate(asked.stdout.strip().splitlines()):
        yield gpu(number, line)


def gpu(number: int, line: str) -> Finding:
    """What a line of `nvidia-smi --query-gpu` says of one GPU: name, driver, MiB in use, MiB, degrees, ECC errors."""
    name, driver, used, total, degrees, errors = (part.strip() for part in line.split(","))
    said = f"{name}, driver {driver}, {used} of {total} MiB in use, {degrees} °C"
    if errors.isdigit() and int(errors):
        return bad(f"gpu.{number}", f"{said}; {errors} memory errors.", "Reset it (nvidia-smi -r), or replace it.")
    return ok(f"gpu.{number}", said)


def check_video(_settings: Settings) -> Iterator[Finding]:
    """Whether videos can be read and written here: by trying, since builds of FFmpeg leave things out."""
    missing = [name for name in DECODERS if not _reads(name)]
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    try:
        with av.open(io.BytesIO(), "w", format="mp4") as out:
            stream = out.add_stream(ENCODER, rate=24)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            out.mux([*stream.encode(av.VideoFrame(64, 64, "yuv420p")), *stream.encode()])
    except (av.FFmpegError, ValueError) as error:
        cure = "Install PyAV's own wheel (pip install --force-reinstall av), which brings it."
        yield bad("video", f"PyAV {av.__version__} cannot encode with {ENCODER}: {error}.", cure)
        return
    if missing:
        found = f"PyAV {av.__version__} (libavcodec {version}) cannot read {', '.join(missing)}."
        yield note("video", found, "Such clips are refused here; install PyAV's own wheel.")
    else:
        yield ok("video", f"PyAV {av.__version__}, libavcodec {version}: writes {ENCODER}, reads {', '.join(DECODERS)}")


def _reads(name: str) -> bool:
    try:
        Codec(name, "r")
    except ValueError:
        return False
    return True


def check_disk(settings: Settings) -> Iterator[Finding]:
    """Whether data and cache have room."""
    folders = {"disk": settings.data_dir, "disk.cache": settings.cache_folder()}
    seen: set[int] = set()
    for check, wanted in folders.items():
        folder = wanted.absolute()
        while not folder.exists():
            folder = folder.parent
        if folder.stat().st_dev in seen:
            continue
        seen.add(folder.stat().st_dev)
        yield _room(check, wanted, shutil.disk_usage(folder).free)


def _room(check: str, folder: Path, free: int) -> Finding:
    said = f"{size(free)} free for {folder}"
    if free < LEAST_FREE_BYTES:
        setting = "FARM_DATA_DIR" if check == "disk" else "FARM_CACHE_DIR"
        return bad(check, said, f"Free {size(LEAST_FREE_BYTES)}, or set {setting} to a larger disk.")
    return ok(check, said)


CHECKS: dict[str, Callable[[Settings], Iterator[Finding]]] = {
    "redis": check_redis,
    "store": check_store,
    "api": check_api,
    "model": check_model,
    "workers": check_workers,
    "torch": check_torch,
    "gpu": check_gpu,
    "video": check_video,
    "disk": check_disk,
}
"""By the names of `farm.cli.doctor.NAMES`."""
