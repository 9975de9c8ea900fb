"""Extractors are deterministic functions of single images; the cache never lies."""

import numpy as np
import pytest

from bench import features, lenet
from bench.data import to_float
from bench.lenet.train import accuracy, jitter


@pytest.mark.parametrize("name", features.EXTRACTORS)
def test_features_do_not_depend_on_the_batch(name, digits):
    extractor = features.load(name)
    images = digits.held_out[:40]
    whole = extractor.features(images)
    assert whole.shape[0] == 40
    assert whole.dtype == np.float32
    parts = np.concatenate([extractor.features(images[i : i + 7]) for i in range(0, 40, 7)])
    assert np.allclose(whole, parts, atol=1e-4)


def test_the_two_classifiers_are_different_networks():
    assert features.load("lenet-a").digest != features.load("lenet-b").digest


def test_unknown_features():
    with pytest.raises(LookupError, match="unknown features 'inception'; available: lenet-a, lenet-b, pixels"):
        features.load("inception")


def test_classes_and_confidence(digits):
    classes, confidence = features.classify(digits.held_out)
    assert (classes == digits.held_out_labels).mean() > 0.99
    assert 0.9 < confidence.mean() <= 1


@pytest.mark.mnist
@pytest.mark.parametrize("name", ["lenet-a", "lenet-b"])
def test_accuracy_of_the_shipped_classifiers(name, mnist):
    import torch

    net, card = lenet.load(name)
    found = accuracy(net, to_float(mnist.held_out), torch.from_numpy(mnist.held_out_labels))
    assert found >= 0.994
    assert found == pytest.approx(card["held_out_accuracy"], abs=2e-4)


def test_jitter_moves_digits_a_little_and_keeps_the_background(digits, generator):
    images = to_float(digits.train[:50])
    moved = jitter(images, generator)
    assert moved.shape == images.shape
    assert moved.min() >= -1 - 1e-5
    assert moved[..., 0, 0].max() <= -1 + 1e-5
    assert 0 < (moved - images).abs().mean() < 0.3


def test_the_cache_is_used_and_a_damaged_one_replaced(home):
    calls = []

    def compute():
        calls.append(1)
        return {"a": np.arange(3)}

    for _ in range(2):
        assert features.cached("some-key", compute)["a"].tolist() == [0, 1, 2]
    assert len(calls) == 1
    path = home / "cache" / "some-key.npz"
    path.write_bytes(path.read_bytes()[:20])
    assert features.cached("some-key", compute)["a"].tolist() == [0, 1, 2]
    assert len(calls) == 2
    assert [file.name for file in path.parent.glob("some-key*")] == ["some-key.npz"]


def test_a_home_that_cannot_be_written_costs_nothing(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "file"))
    assert features.cached("k", lambda: {"a": np.ones(2)})["a"].tolist() == [1, 1]
