"""What comes with the package: made by one command, found by its name alone, and what would be measured here."""

import dataclasses
import json

import numpy as np
import pytest

from bench import files
from bench.data.dataset import Dataset
from bench.sampling.plan import PRESETS
from bench.scoring import control_scores, control_sets, extractors, reference, shipping
from bench.scoring.reference import Reference

AGAIN = "`make controls` makes them again"


@pytest.fixture
def digest_alone():
    """A data set that keys take for MNIST, for machines without."""
    few = np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.int64)
    dataset = Dataset("mnist", *few, *few, pad=2, what="digits")
    vars(dataset)["digest"] = shipping.MNIST
    return dataset


@pytest.fixture
def small(digits):
    """As much of the embedded digits as all can be measured of in a second."""
    parts = {"train": 500, "train_labels": 500, "held_out": 200, "held_out_labels": 200}
    first = {name: getattr(digits, name)[:n] for name, n in parts.items()}
    return dataclasses.replace(digits, **first)


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty home; what a process remembers is forgotten."""
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(reference, "UNKEPT", {})
    return tmp_path / "home"


def test_what_is_shipped_is_what_this_code_asks_for(digest_alone):
    held = {path.name for path in reference.SHIPPED.iterdir()}
    assert held == {f"{key}.npz" for key in shipping.keys(digest_alone)}, AGAIN


def test_it_is_whole_and_small():
    paths = list(reference.SHIPPED.iterdir())
    for path in paths:
        assert files.read_back(path, pytest.fail, name=path.stem), AGAIN
    assert sum(path.stat().st_size for path in paths) < 3e6


def test_it_is_of_as_many_images_as_the_protocols():
    assert set(shipping.NUMBERS) == {preset.num for preset in PRESETS.values()}


def test_what_is_made_is_found_and_not_measured(small, empty, tmp_path, monkeypatch):
    folder, old = tmp_path / "shipped", tmp_path / "shipped" / "null-0-of-another-version.npz"
    folder.mkdir()
    old.write_bytes(b"")
    few = {name: control_sets.CONTROLS[name] for name in ("held_out", "copies")}
    monkeypatch.setattr(control_sets, "CONTROLS", few)
    monkeypatch.setattr(shipping, "EXTRACTORS", ("lenet-a",))
    monkeypatch.setattr(shipping, "NUMBERS", (6,))
    shipping.make(small, folder, say=lambda line: None)
    assert {path.stem for path in folder.iterdir()} == shipping.keys(small)
    assert not empty.exists()
    monkeypatch.setattr(reference, "SHIPPED", folder)
    against = Reference(small, extractors.load("lenet-a"))
    assert control_scores.missing(against, 6, few) == []
    monkeypatch.setattr(Reference, "distances", lambda *args, **options: pytest.fail("measured"))
    assert against.null["pixels"].d1.shape == (200,)
    scores = control_scores.measured(against, 6, few)
    assert scores["copies"]["memorization"]["pixels"]["copy_rate"]["value"] == 1
    assert not empty.exists()  # nothing is copied


@pytest.mark.mnist
def test_one_of_them_made_anew_is_the_same(mnist, tmp_path, monkeypatch):
    assert mnist.digest == shipping.MNIST
    against = Reference(mnist, extractors.load("lenet-a"))
    key = control_scores.key(against, 256, "copies")
    for path in reference.SHIPPED.iterdir():
        if path.stem != key:
            (tmp_path / path.name).symlink_to(path)
    shipped = control_scores.measured(against, 256, ["copies"])
    monkeypatch.setattr(reference, "SHIPPED", tmp_path)
    anew = control_scores.measured(against, 256, ["copies"])
    assert numbers(anew) == pytest.approx(numbers(shipped), rel=1e-4, abs=1e-6), AGAIN


def numbers(scores):
    """All numbers of a document, by where they stand."""
    found = {}

    def walk(where, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{where}/{key}", inner)
        elif isinstance(value, list):
            walk(where, dict(enumerate(value)))
        elif isinstance(value, int | float):
            found[where] = value

    walk("", json.loads(json.dumps(scores)))
    return found
