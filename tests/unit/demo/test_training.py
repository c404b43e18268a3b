"""The recipe of the embedded model, from pictures to a folder that the engine loads; at a size that takes seconds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

from demo.training import sources
from demo.training.__main__ import app, main
from demo.training.assembly import LARGEST, NothingTrained, assemble
from demo.training.calibration import fit
from demo.training.denoiser import Moment, noised, step_weights, visibility
from demo.training.latents import block_encoder, keep_latents, to_tensor
from demo.training.loop import Budget, Run, between, rate_at, train
from demo.training.losses import likeness, structure, texture
from demo.training.networks import build, encoded, load, noise_shares, save_learnt, weights_path
from demo.training.presets import EMBEDDED, PRESETS, Pace, StageName
from demo.training.run import OtherPreset, Where, prepared, wanted_stages
from demo.training.scenes import SCENES, SIDE
from demo.training.softening import soften
from demo.training.sources import CannotFetch, Manager, PackageChanged, fetch
from demo.training.tiles import NoPictures, is_sharp, load_tiles, write_strips, write_tiles
from demo.training.vocabulary import learn_merges, write_tokenizer
from tests.unit.gpu.demo import FOLDER
from workers.gpu.models import load_model

CPU = torch.device("cpu")
TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every stage of the smallest preset ran two steps."""
    work = tmp_path_factory.mktemp("work")
    write_tiles(work, (), TINY.tiles, 1, lambda: None)
    write_strips(work, (), 4, 1)
    where = Where("tiny", work, CPU)
    for name in wanted_stages(where, ()):
        state = prepared(where, name, lambda _, __: None)(Budget(1, steps=2))
        assert state.steps == (1 if name is StageName.CALIBRATION else 2)
    return work


def test_what_was_trained_from_nothing_is_a_model_that_the_engine_loads(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    call = ["training", "assemble", str(folder), "--work", str(trained), "--preset", "tiny"]
    monkeypatch.setattr("sys.argv", call)
    with pytest.raises(SystemExit, match="0"):
        main()
    assert "MB" in capsys.readouterr().out
    model = load_model(folder, True, CPU, torch.float32)
    assert model.latent_channels == 4
    assert model.longest_context == 32
    scaling = json.loads((folder / "vae" / "config.json").read_text())["scaling_factor"]
    kept = next(trained.glob("latents-*.npy"))
    assert scaling * np.load(kept)[:, 0].astype(np.float32).std() == pytest.approx(1, rel=1e-2)
    assert (folder / "farm.json").read_bytes() == (FOLDER / "farm.json").read_bytes()


def test_what_a_run_did_not_learn_stays_as_it_was_in_the_embedded_model(tmp_path: Path) -> None:
    work, folder = tmp_path / "work", tmp_path / "model"
    work.mkdir()
    write_tiles(work, (), 1, 1, lambda: None)
    write_strips(work, (), 1, 1)
    bias = torch.full((32,), 0.5)
    save_learnt(weights_path(work, StageName.CALIBRATION), {"vae.post_quant_conv/bias": bias})
    assert assemble(Where("cpu", work, CPU), folder) < LARGEST
    same = ("unet", "text_encoder", "motion_adapter", "tokenizer", "scheduler")
    files = [path for name in same for path in (folder / name).glob("*") if path.suffix != ".json"]
    assert files
    assert all(path.read_bytes() == (FOLDER / path.relative_to(folder)).read_bytes() for path in files)
    assert (load(folder).vae.post_quant_conv.bias == bias).all()
    assert not [path for path in folder.rglob("config.json") if str(FOLDER) in path.read_text()]


def test_each_stage_changes_what_it_trains_and_a_later_one_starts_from_it(trained: Path) -> None:
    assert wanted_stages(Where("tiny", trained, CPU), ()) == []
    assert wanted_stages(Where("tiny", trained, CPU), [StageName.MOTION]) == [StageName.MOTION]
    for stage in StageName:
        assert weights_path(trained, stage).is_file()


def test_a_folder_of_one_preset_is_not_gone_on_with_as_another(trained: Path) -> None:
    with pytest.raises(OtherPreset, match="'tiny', not of 'gpu'"):
        prepared(Where("gpu", trained, CPU), StageName.DENOISER, lambda _, __: None)


def test_before_anything_was_trained_nothing_is_assembled(tmp_path: Path) -> None:
    with pytest.raises(NothingTrained, match=r"python -m demo\.training train"):
        assemble(Where("cpu", tmp_path, CPU), tmp_path / "model")


def test_without_tiles_the_command_to_run_first_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoPictures, match=r"python -m demo\.training prepare"):
        load_tiles(tmp_path)


@pytest.mark.parametrize("name", SCENES)
def test_scenes_are_sharp_and_the_same_for_the_same_seed(name: str) -> None:
    scene, _ = SCENES[name]
    picture = scene(np.random.default_rng(3))
    assert picture.shape == (SIDE, SIDE, 3)
    assert (picture == scene(np.random.default_rng(3))).all()
    assert is_sharp(picture)


def test_softening_takes_fine_detail_away_and_keeps_size_and_color() -> None:
    sharp = SCENES["grass"][0](np.random.default_rng(0))
    for seed in range(12):
        soft = soften(sharp, np.random.default_rng(seed))
        assert soft.shape == sharp.shape
        assert np.abs(np.diff(soft.astype(int), axis=1)).mean() < np.abs(np.diff(sharp.astype(int), axis=1)).mean()
        assert np.abs(soft.mean((0, 1)) - sharp.mean((0, 1))).max() < 1.5


def test_the_way_leads_from_the_soft_latent_to_the_sharp_one() -> None:
    shares = noise_shares(CPU)
    sharp, soft = torch.full((2, 4, 2, 2), 3.0), torch.full((2, 4, 2, 2), 1.0)
    noise = torch.randn((2, 4, 2, 2), generator=torch.Generator().manual_seed(0))
    moment = Moment(torch.tensor([400, 0]), torch.tensor([400, 400]), torch.tensor([True, True]))
    shown, answer = noised(shares, sharp, soft, moment, noise)
    signal, rest = (
        shares[moment.steps].sqrt()[:, None, None, None],
        (1 - shares[moment.steps]).sqrt()[:, None, None, None],
    )
    # At its start stands the soft latent with that step's noise; the right answer leads to the sharp one anywhere.
    assert torch.allclose(shown[0], (signal * soft + rest * noise)[0], atol=1e-5)
    assert torch.allclose((shown - rest * answer) / signal, sharp, atol=1e-4)
    assert torch.allclose(shown[1], (signal * sharp)[1], atol=0.2)


def test_steps_with_little_noise_count_less() -> None:
    weights = step_weights(noise_shares(CPU), torch.tensor([0, 300, 999]), 20.0)
    assert weights[0] < weights[1] < weights[2] == 1


def test_the_texture_loss_sees_smoothing_but_not_where_texture_lies() -> None:
    noise = torch.randn((1, 3, 64, 64), generator=torch.Generator().manual_seed(0)) / 4
    elsewhere = torch.roll(noise, (2, 1), (2, 3))
    assert texture(elsewhere, noise) < texture(noise / 2, noise) / 3
    assert structure(noise, noise) == pytest.approx(0, abs=1e-5)
    assert likeness(noise, noise)["loss"] == pytest.approx(0, abs=1e-5)
    assert likeness(noise / 2, noise)["loss"] > 0.05


def test_the_encoder_of_the_embedded_model_is_found_to_be_one_convolution() -> None:
    networks = load(EMBEDDED)
    networks.freeze()
    encode = block_encoder(networks, CPU)
    assert encode is not None
    picture = to_tensor(SCENES["grass"][0](np.random.default_rng(0))[None])
    mean, _ = encoded(networks.vae, picture)
    assert torch.allclose(encode(picture), mean, atol=2e-3)
    with torch.no_grad():
        networks.vae.encoder.conv_in.weight.normal_()
        networks.vae.encoder.mid_block.resnets[0].conv2.weight.normal_()
    assert block_encoder(networks, CPU) is None


def test_latents_are_kept_for_their_encoder_alone(trained: Path) -> None:
    tiles = load_tiles(trained)
    networks = load(EMBEDDED)
    networks.freeze()
    before = set(trained.glob("latents-*"))
    values = keep_latents(networks, tiles, trained, CPU, lambda _: None).values
    assert len(set(trained.glob("latents-*")) - before) == 1
    assert values.shape == (TINY.tiles, 3, 32, 32, 32)
    told: list[float] = []
    keep_latents(networks, tiles, trained, CPU, told.append)
    assert told == []
    seen = visibility(networks, torch.from_numpy(values[:2, 0, :, :8, :8].astype(np.float32)))
    assert seen.mean() == pytest.approx(1)
    assert seen[0] > seen[-1]


def test_the_calibration_finds_what_of_each_channel_can_be_believed() -> None:
    draw = torch.Generator().manual_seed(0)
    sharp = torch.randn((4, 2, 16, 16), generator=draw)
    noise = torch.randn(sharp.shape, generator=draw)
    # One channel is right but for a shift, the other is half noise.
    restored = torch.stack([sharp[:, 0] + 1, sharp[:, 1] + noise[:, 1]], 1)
    change, shift = fit(restored, sharp)
    assert torch.allclose(change, torch.tensor([[0.0, 0.0], [0.0, -0.5]]), atol=0.06)
    assert torch.allclose(shift, torch.tensor([-1.0, 0.0]), atol=0.06)


def test_a_run_is_gone_on_with_as_far_as_it_is_trusted() -> None:
    before, after = {"w": torch.zeros(2)}, {"w": torch.full((2,), 4.0)}
    assert between(before, after, 0.25)["w"].tolist() == [1, 1]


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


def test_the_embedded_model_is_the_start_of_the_run_on_a_cpu() -> None:
    assert PRESETS["cpu"].start == FOLDER
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < LARGEST
    assert StageName.AUTOENCODER not in PRESETS["cpu"].paces


def test_a_model_that_is_trained_on_a_gpu_has_four_channels_and_can_be_embedded(tmp_path: Path) -> None:
    networks = build(PRESETS["gpu"], tmp_path, ("photo",), CPU)
    assert networks.unet.config.in_channels == networks.vae.config.latent_channels == 4
    count = sum(weight.numel() for each in networks.modules().values() for weight in each.parameters())
    assert 0.8 * LARGEST < 2 * count < 0.97 * LARGEST


def test_help_names_the_four_commands() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert names == {"prepare", "train", "assemble", "evaluate"}
