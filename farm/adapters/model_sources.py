"""A model on this machine: which of its files belong to it, and what must not be among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from farm.adapters.model_facts import CLIP_TOKENS, SINGLE, facts_of
from farm.adapters.onnx_header import OnnxHeader, read_onnx
from farm.adapters.weights_header import Reader, WeightsHeader, read_header
from farm.adapters.yolo_layout import DETECTOR
from farm.errors import Rejected

WANTED = frozenset({".json", ".txt", ".safetensors", ".model", ".onnx"})
"""Endings of files that belong to a model."""
PICKLES = frozenset({".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle"})
"""Endings of files that run code when they are read."""
TOKENIZER_FILES = frozenset({"vocab.json", "merges.txt", "tokenizer.json"})
"""One of them is in every tokenizer's folder."""


LONGEST_PATH = 240
"""Characters of a file's path in a model: workers keep it below a folder of theirs."""
MOST_FILES = 10_000
"""Files of one model; the largest in diffusers' layout have some fifty."""


class Pickle(Rejected):
    """Weights in a format that runs code when it is read."""

    def __init__(self, path: PurePath) -> None:
        super().__init__(
            f"{str(path)!r} is a pickle, which runs code when it is read. Convert it to .safetensors: for a folder, "
            f"`save_pretrained` does; for one file, load it on a machine that you can spare with "
            f"`torch.load(path, weights_only=True)` and write its `state_dict` with `safetensors.torch.save_file`; "
            f"a YOLO detector is exported: yolo export model={path.name} format=onnx."
        )


@dataclass(frozen=True)
class LocalFiles:
    """Files on this machine, by their paths in the model."""

    files: Mapping[str, Path]

    @property
    def paths(self) -> frozenset[str]:
        """See `ModelFiles`."""
        return frozenset(self.files)

    def text(self, path: str) -> bytes:
        """See `ModelFiles`."""
        return self.files[path].read_bytes()

    def header(self, path: str) -> WeightsHeader:
        """See `ModelFiles`."""
        file = self.files[path]

        return read_header(file.name, _reader(file), file.stat().st_size)

    def network(self, path: str) -> OnnxHeader:
        """See `ModelFiles`."""
        file = self.files[path]
        return read_onnx(file.name, _reader(file), file.stat().st_size)


def _reader(file: Path) -> Reader:
    def read(start: int, length: int) -> bytes:
        with file.open("rb") as opened:
            opened.seek(start)
            return opened.read(length)

    return read


def gathered(path: Path, tokenizer: Path | None = None) -> dict[str, Path]:
    """The files of a model, by their paths in it: those of a folder, or one `.safetensors` or `.onnx` file.

    Args:
        tokenizer: folder with the vocabulary of a single file whose vocabulary is not CLIP's.
    Raises:
        Rejected: nothing there, nothing that the farm knows, a pickle, links that lead outside, a missing tokenizer.
    """
    if path.is_dir():
        if tokenizer is not None:
            raise Rejected("A tokenizer is given with a single file; a model's folder has its own as `tokenizer/`.")
        return {found.relative_to(path).as_posix(): found for found in sorted(_walk(path))}
    if path.suffix in PICKLES and path.is_file():
        raise Pickle(path)
    if not path.is_file():
        raise Rejected(
            f"{str(path)!r} is no folder and no file. Give a model folder in diffusers' layout, or a .safetensors file."
        )
    if path.suffix == ".onnx":
        if tokenizer is not None:
            raise Rejected(f"A detector such as {path.name!r} reads no text. Leave the tokenizer out.")
        return {DETECTOR: path}
    if path.suffix != ".safetensors":
        raise Rejected(
            f"{str(path)!r} is no .safetensors file and no .onnx file. Give one (.onnx: a detector), or a model folder "
            f"in diffusers' layout."
        )
    files = {SINGLE: path}
    vocabulary = facts_of(LocalFiles(files), path.name).vocabulary
    if tokenizer is not None:
        files |= _tokenizer(tokenizer)
    elif vocabulary not in (0, CLIP_TOKENS):
        raise Rejected(
            f"The text encoder in {path.name!r} knows {vocabulary} tokens. The farm brings the vocabulary of CLIP, "
            f"which has {CLIP_TOKENS}; for another give its folder: --tokenizer FOLDER (vocab.json and merges.txt)."
        )
    return files


def check_paths(paths: Sequence[str]) -> None:
    """Check the paths of a model's files, which somebody else has listed.

    Raises:
        Rejected: a pickle, an ending that no model's file has, a path twice (as a file system sees it that knows no
            capitals), a file where another file's folder is, paths or lists that are too long.
    """
    if len(paths) > MOST_FILES:
        raise Rejected(
            f"The model has {len(paths):,} files; at most {MOST_FILES:,} are taken. Leave out what is not its own."
        )
    taken: dict[str, str] = {}
    for text in paths:
        path = PurePosixPath(text)
        if path.suffix in PICKLES:
            raise Pickle(path)
        if path.suffix not in WANTED:
            raise Rejected(f"{text!r} is no file of a model; these end in {', '.join(sorted(WANTED))}. Leave it out.")
        if len(text) > LONGEST_PATH:
            raise Rejected(f"The path {text[:80]!r}… has over {LONGEST_PATH} characters. Give the file a shorter one.")
        if text.casefold() in taken:
            raise Rejected(f"The model has {text!r} twice, also as {taken[text.casefold()]!r}. Keep one of them.")
        taken[text.casefold()] = text
    for name in taken:
        below = next((str(parent) for parent in PurePosixPath(name).parents if str(parent) in taken), None)
        if below is not None:
            raise Rejected(f"The model has a file {taken[below]!r} and files below it, as if it were a folder.")


def _tokenizer(folder: Path) -> dict[str, Path]:
    found = {file.name: file for file in folder.iterdir() if file.suffix in WANTED} if folder.is_dir() else {}
    if not TOKENIZER_FILES.intersection(found):
        raise Rejected(
            f"{str(folder)!r} holds no tokenizer. Give a folder with vocab.json and merges.txt, or tokenizer.json."
        )
    return {f"tokenizer/{name}": file for name, file in found.items() if file.suffix != ".safetensors"}


def _walk(folder: Path) -> Iterator[Path]:
    top = folder.resolve()
    for path in folder.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.is_dir() and not path.is_symlink():
            continue
        # Linked folders are not walked, so they would be left out without a word: even one inside the model is refused.
        if path.is_dir() or not path.resolve().is_relative_to(top):
            raise Rejected(
                f"{str(path)!r} is a link that leads outside of the model's folder. Copy what it names into it."
            )
        if path.suffix in WANTED:
            yield path
        elif path.suffix in PICKLES and not path.with_suffix(".safetensors").exists() and not _is_spare(path):
            raise Pickle(path)


def _is_spare(path: Path) -> bool:
    """Weights in two formats: `pytorch_model.bin` beside `model.safetensors`."""
    return any(other.suffix == ".safetensors" for other in path.parent.iterdir())
