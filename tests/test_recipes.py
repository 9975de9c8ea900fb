"""What `bench train` ships says what happened."""

import dataclasses
import inspect
import json
import os
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from bench import recipes
from bench.cli import making
from bench.data import datasets
from bench.scoring.lenet import train as lenet_train
from denoisers import resuming, training, unet
from denoisers.errors import UsageError
from denoisers.kbnet import train as kbnet_train
from denoisers.unet import train as unet_train


@pytest.fixture
def few(digits, monkeypatch):
    """A data set of 128 digits to train on and 32 held out, in the place of MNIST."""
    parts = {
        "train": digits.train[:128],
        "held_out": digits.held_out[:32],
        "train_labels": digits.train_labels[:128],
        "held_out_labels": digits.held_out_labels[:32],
    }
    found = dataclasses.replace(digits, **parts)
    monkeypatch.setattr(datasets, "load", lambda *arguments: found)
    return found


def lenet(tmp_path, **options):
    return recipes.train(
        "lenet", **{"name": "t", "epochs": 2, "seed": 1, "out": tmp_path} | options
    )


@pytest.mark.usefixtures("few")
def test_another_seed_is_not_the_training_that_is_there(tmp_path):
    path = lenet(tmp_path)
    first, card = load_file(path), path.with_suffix(".json").read_text()
    with pytest.raises(UsageError, match="it has seed 1; asked for is seed 2") as raised:
        lenet(tmp_path, seed=2)
    assert raised.value.about == "--name"
    assert path.with_suffix(".json").read_text() == card
    second = load_file(lenet(tmp_path, seed=2, name="u"))
    assert any(not torch.equal(first[key], second[key]) for key in first)
    assert load_file(lenet(tmp_path)).keys() == first.keys()  # the same command again is welcome


@pytest.mark.usefixtures("few")
def test_the_card_tells_the_recipe_that_was_followed(tmp_path):
    card = json.loads(lenet(tmp_path).with_suffix(".json").read_text())
    recipe = card["recipe"]
    assert (recipe["seed"], recipe["epochs"], recipe["batch"], recipe["device"]) == (
        1,
        2,
        128,
        "cpu",
    )
    assert recipe["optimizer"].startswith("AdamW 0.001; weight decay 0.01")
    assert recipe["average"] == "EMA 0.999"
    assert recipe["precision"] in ("bfloat16", "float32")


@pytest.mark.usefixtures("few")
def test_size_of_a_batch_and_average_are_chosen_said_and_held_to(tmp_path):
    chosen = {"batch_size": 32, "ema": 0.75}
    path = lenet(tmp_path, **chosen)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["command"] == (
        "bench train lenet --name t --epochs 2 --seed 1 --batch-size 32 --ema 0.75"
    )
    assert (card["recipe"]["batch"], card["recipe"]["average"]) == (32, "EMA 0.75")
    assert card["recipe"]["schedule"].endswith("in 8")
    for other in ({"batch_size": 16}, {"ema": 0.5}, {"ema": None}):
        with pytest.raises(UsageError, match=r"another recipe: it has (batch 32|average EMA 0.75)"):
            lenet(tmp_path, **chosen | other)
    slow = lenet(tmp_path, name="slow", **chosen | {"ema": 0.0})
    first, second = load_file(path), load_file(slow)
    assert any(not torch.equal(first[key], second[key]) for key in first)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("chosen", "flag", "why"),
    [
        ({"batch_size": 129}, "--batch-size", "at most 128, the number of images"),
        ({"batch_size": 0}, "--batch-size", "must lie in 1..1000000"),
        ({"ema": 1}, "--ema", "must lie in 0..0.999999"),
        ({"ema": float("nan")}, "--ema", "must lie in"),
    ],
)
def test_a_batch_and_an_average_that_cannot_be(tmp_path, chosen, flag, why):
    with pytest.raises(UsageError, match=why) as raised:
        lenet(tmp_path, **chosen)
    assert raised.value.about == flag
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", recipes.NETWORKS)
def test_help_names_the_size_of_a_batch(tmp_path, monkeypatch, name):
    """The number that is taken where none is given, of 300 digits."""
    asked = []
    monkeypatch.setattr(
        training, "fit", lambda *given, batch_size, **rest: asked.append(batch_size)
    )
    images, path = torch.zeros(300, 1, 32, 32), tmp_path / "x.ckpt"
    if name == "lenet":
        lenet_train.train(images, images, path)
    elif name == "kbnet":
        kbnet_train.train(images, path, band=(0.1, 0.1))
    else:
        unet_train.train(images, path)
    said = inspect.signature(making.train).parameters["batch_size"].annotation.__metadata__[0]
    assert f"{name} {asked[0]}" in said.show_default.split(", ")


@pytest.mark.usefixtures("few")
def test_weights_of_another_origin_are_not_replaced(tmp_path):
    path = lenet(tmp_path)
    path.with_suffix(".ckpt").unlink()
    with pytest.raises(
        UsageError, match="was made by `bench train lenet --name t --epochs 2 --seed 1`"
    ):
        lenet(tmp_path, epochs=1)
    path.with_suffix(".json").unlink()
    with pytest.raises(UsageError, match="no card tells"):
        lenet(tmp_path)


@pytest.mark.parametrize(
    "other", [{"sigma": "50"}, {"loss": "l2"}, {"source": "elsewhere"}, {"weights": "gray25"}]
)
def test_another_noise_loss_or_data_is_another_training(tmp_path, monkeypatch, other):
    """The networks are not trained here: that the checkpoint is asked for by what it depends on is enough."""
    asked = []

    def noted(images, checkpoint, **options):
        asked.append(
            {key: str(value)[:99] for key, value in options.items() if key != "report"}
            | {"data": images}
        )
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes.kbnet_train, "train", noted)
    monkeypatch.setattr(recipes, "tiles", lambda source, *rest: source)
    for given in ({}, other):
        with pytest.raises(KeyboardInterrupt):
            recipe = {"source": "here", "sigma": "25", "loss": "l1"} | given
            recipes.train("kbnet", out=tmp_path, name="x", epochs=1, **recipe)
    assert asked[0] != asked[1]


@pytest.mark.usefixtures("few")
def test_the_unet_that_is_trained_is_the_one_that_is_loaded(tmp_path):
    path = recipes.train("unet", name="u", epochs=1, out=tmp_path)
    loaded = unet.load(str(path))
    assert loaded.card["recipe"]["batch"] == 128
    assert sum(p.numel() for p in loaded.parameters()) == loaded.card["parameters"]


@pytest.mark.usefixtures("few", "one_thread")
def test_a_training_that_is_killed_ends_where_an_uninterrupted_one_does(tmp_path, monkeypatch):
    """LeNet's dropout draws by itself.

    SIGKILL of a copy of this process after its first checkpoint, then the same training again.
    """
    folders = [tmp_path / name for name in ("killed", "whole")]
    killed = os.fork()
    if killed == 0:
        save = resuming.save
        try:
            with monkeypatch.context() as patch:
                patch.setattr(resuming, "save", lambda *state: (save(*state), signal.pause()))
                lenet(folders[0], epochs=4)
        finally:
            os._exit(1)
    checkpoint, deadline = folders[0] / "t.ckpt", time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(killed, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(killed, 0)[1]) == -signal.SIGKILL
    assert not (folders[0] / "t.safetensors").exists()
    assert torch.load(checkpoint, weights_only=True)["step"] == 1
    resumed, whole = (load_file(lenet(folder, epochs=4)) for folder in folders)
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)
