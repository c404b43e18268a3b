"""The recipe of the embedded model, from pictures to a folder that the engine loads; at a size that takes seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from demo.training.__main__ import app, main
from demo.training.assembly import LARGEST, NothingTrained, assemble
from demo.training.denoiser import Moment, noised, step_weights, visibility
from demo.training.latents import block_encoder, keep_latents, to_tensor
from demo.training.loop import Budget
from demo.training.losses import likeness, structure, texture
from demo.training.networks import build, encoded, load, noise_shares, save_learnt, weights_path
from demo.training.presets import EMBEDDED, PRESETS, StageName
from demo.training.run import OtherPreset, Where, prepared, wanted_stages
from demo.training.scenes import SCENES, SIDE
from demo.training.softening import soften
from demo.training.tiles import NoPictures, is_sharp, load_tiles, write_strips, write_tiles
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
        assert state.steps == 2
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
    save_learnt(weights_path(work, StageName.DENOISER), {"unet/conv_out.bias": bias})
    assert assemble(Where("cpu", work, CPU), folder) < LARGEST
    same = ("vae", "text_encoder", "motion_adapter", "tokenizer", "scheduler")
    files = [path for name in same for path in (folder / name).glob("*") if path.suffix != ".json"]
    assert files
    assert all(path.read_bytes() == (FOLDER / path.relative_to(folder)).read_bytes() for path in files)
    assert (load(folder).unet.conv_out.bias == bias).all()
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
