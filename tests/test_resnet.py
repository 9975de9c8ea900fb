"""The classifier of natural images: what it takes, that grey and colour agree, what its cards promise."""

import numpy as np
import pytest
import torch

from bench.data.dataset import divided
from bench.scoring import extractors, resnet
from bench.scoring.resnet import train
from denoisers.errors import UsageError


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 37, 29), (1, 64, 48)])
def test_images_of_any_size_have_256_features(shape):
    net = resnet.ResNet(7).eval()
    images = torch.rand(2, *shape) * 2 - 1
    assert net.features(images).shape == (2, resnet.net.FEATURES)
    assert net(images).shape == (2, 7)


def test_a_grey_image_is_seen_as_its_copy_in_three_channels(generator):
    net = resnet.ResNet().eval()
    grey = torch.rand(4, 1, 32, 32, generator=generator) * 2 - 1
    assert torch.allclose(net(grey), net(grey.repeat(1, 3, 1, 1)), atol=1e-5)
    assert torch.allclose(resnet.in_grey(grey.repeat(1, 3, 1, 1))[:, :1], grey, atol=1e-6)


def test_augmentation_mirrors_moves_and_takes_colour(generator):
    images = torch.rand(400, 3, 32, 32, generator=generator)
    changed = train.changed(images, generator)
    assert changed.shape == images.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    grey = (changed.amax(1) - changed.amin(1)).amax((1, 2)) < 1e-6
    assert 0.4 < grey.float().mean() < 0.6
    own = [
        any(torch.equal(new, old) for old in (image, image.flip(-1)))
        for new, image in zip(changed, images, strict=True)
    ]
    assert 0 < np.mean(own) < 0.1  # one in twenty-five is not moved, half of them keep their colour


@pytest.mark.parametrize("name", ["cifar-a", "cifar-b"])
def test_the_shipped_classifiers(name):
    net, card = resnet.load(name)
    assert card["held_out_accuracy"] >= 0.894
    assert card["in_grey"] >= 0.885
    assert ".jpg" in card["split"]
    assert sum(p.numel() for p in net.parameters()) == card["parameters"]


def test_they_are_two_networks():
    assert extractors.load("cifar-a").digest != extractors.load("cifar-b").digest


def striped(count, shape, rng):
    """Images of two kinds: light above, and light below."""
    images = rng.integers(0, 60, (count, *shape), np.uint8)
    middle = shape[0] // 2
    images[::2, :middle] += 150
    images[1::2, middle:] += 150
    return images


@pytest.mark.parametrize("shape", [(32, 32, 3), (20, 24)])
def test_training_learns_two_classes_of_any_images(rng, tmp_path, monkeypatch, shape):
    from bench import recipes

    found = divided("stripes", striped(240, shape, rng), np.arange(240) % 2)
    monkeypatch.setattr("bench.data.datasets.load", lambda *_: found)
    path = recipes.train(
        "classifier", name="s", dataset="stripes", epochs=8, batch_size=40, out=tmp_path
    )
    net, card = resnet.load(str(path))
    assert card["data"] == found.id
    assert card["command"].endswith("--dataset stripes")
    assert net.head.out_features == 2
    assert card["held_out_accuracy"] > 0.9


def test_without_classes_there_is_nothing_to_learn(rng, tmp_path, monkeypatch):
    from bench import recipes

    found = divided("plain", striped(240, (32, 32), rng), None)
    monkeypatch.setattr("bench.data.datasets.load", lambda *_: found)
    with pytest.raises(UsageError, match="--dataset: plain has 0 classes; a classifier needs two"):
        recipes.train("classifier", name="s", dataset="plain", out=tmp_path)
    with pytest.raises(UsageError, match="lenet tells ten classes of 28 x 28 in grey; plain has 0"):
        recipes.train("lenet", name="s", dataset="plain", out=tmp_path)
