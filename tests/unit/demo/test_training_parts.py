"""Parts of the recipe: the loop, the tokenizer, the packages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import CLIPTokenizer

from demo.training import sources
from demo.training.loop import Budget, Run, rate_at, train
from demo.training.presets import Pace
from demo.training.sources import CannotFetch, Manager, PackageChanged, fetch
from demo.training.vocabulary import learn_merges, write_tokenizer


class OneWeight:
    """A stage whose weight should become 5."""

    name = "one"

    def __init__(self) -> None:
        self.weights = {"w": torch.nn.Parameter(torch.zeros(1))}
        self.stop_at = -1
        self.seen = 0

    def losses(self, progress: float) -> dict[str, torch.Tensor]:
        self.seen += 1
        if self.seen == self.stop_at:
            raise KeyboardInterrupt
        return {"loss": ((self.weights["w"] - 5) ** 2).sum()}

    def stepped(self) -> None:
        pass

    def outcome(self) -> dict[str, torch.Tensor]:
        return {"more": torch.ones(1)}


def test_a_run_that_was_interrupted_goes_on_where_it_stood(tmp_path: Path) -> None:
    pace, budget = Pace(minutes=1, batch=1, rate=0.5, average=0.5), Budget(1, steps=40)
    whole, at_once = OneWeight(), tmp_path / "whole"
    at_once.mkdir()
    train(whole, pace, budget, at_once)
    broken = OneWeight()
    broken.stop_at = 17
    with pytest.raises(KeyboardInterrupt):
        train(broken, pace, budget, tmp_path)
    assert (tmp_path / "one.checkpoint").is_file()
    rest = OneWeight()
    assert train(rest, pace, budget, tmp_path).steps == 40
    assert rest.seen == 40 - 16
    assert not (tmp_path / "one.checkpoint").exists()
    assert (tmp_path / "one.safetensors").read_bytes() == (at_once / "one.safetensors").read_bytes()
    assert whole.weights["w"].item() == pytest.approx(5, abs=0.5)


def test_what_is_left_is_the_average(tmp_path: Path) -> None:
    run = Run(OneWeight(), Pace(minutes=1, batch=1, rate=0.1, average=0.5), tmp_path)
    run.step(0.5)
    moved = run.stage.weights["w"].item()
    assert run.average["w"].item() == pytest.approx(moved * (1 - 2 / 11), rel=1e-4)


def test_the_rate_rises_and_falls() -> None:
    rates = [rate_at(progress, 1.0) for progress in (0, 0.03, 0.5, 1)]
    assert rates[0] < 0.02
    assert rates[1] > 0.95
    assert rates[1] > rates[2] > rates[3] == pytest.approx(0.02)


def test_pairs_that_occur_most_often_are_joined_first(tmp_path: Path) -> None:
    assert learn_merges(["hat", "hat", "cat"], 2) == [("a", "t</w>"), ("h", "at</w>")]
    tokenizer = CLIPTokenizer.from_pretrained(write_tokenizer(tmp_path / "tokenizer", ["photo of a dog"]))
    found = tokenizer("a photo").input_ids
    assert len(found) < 2 + len("aphoto")
    assert (found[0], found[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert tokenizer.decode(found, skip_special_tokens=True).strip() == "a photo"


@pytest.fixture
def package() -> sources.Package:
    return replace(sources.PACKAGES[0], name="somebody", version="1.0", sha256="0" * 64)


def test_a_package_that_was_changed_is_refused(package: sources.Package, tmp_path: Path) -> None:
    (tmp_path / "somebody-1.0.tgz").write_bytes(b"another")
    with pytest.raises(PackageChanged, match=r"somebody 1\.0 has the SHA-256"):
        fetch(package, tmp_path)
    same = replace(package, sha256=sources.digest(tmp_path / "somebody-1.0.tgz"))
    assert fetch(same, tmp_path).name == "somebody-1.0.tgz"


def test_a_missing_package_manager_is_said(
    package: sources.Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for manager in Manager:
        with pytest.raises(CannotFetch, match=f"there is no {manager} on this machine"):
            fetch(replace(package, manager=manager), tmp_path)


def test_every_package_is_pinned_and_free() -> None:
    for package in sources.PACKAGES:
        assert len(package.sha256) == 64
        assert any(word in package.license for word in ("MIT", "CC0", "public domain"))
        assert f"{package.version}" in " ".join(sources.command(package, Path()))
