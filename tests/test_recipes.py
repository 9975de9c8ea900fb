"""What `bench train` ships says what happened."""

import dataclasses
import json
import os
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from bench import recipes
from bench.data import datasets
from denoisers import resuming, unet
from denoisers.errors import UsageError


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
    monkeypatch.setattr(recipes, "restoration_images", lambda source, *rest: (source, 48))
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
