"""Every test gets its own BENCH_HOME for runs and weights, and shares one cache of reference features."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import data

MNIST = data.read_mnist(Path(os.environ["BENCH_DATA"])) if os.environ.get("BENCH_DATA") else None


def pytest_collection_modifyitems(config, items):
    """Tests marked `mnist` are deselected, and counted as such, where BENCH_DATA holds no MNIST."""
    if MNIST is None:
        away = [item for item in items if item.get_closest_marker("mnist")]
        config.hook.pytest_deselected(items=away)
        items[:] = [item for item in items if item not in away]


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """A home without data; the cache below it is shared by the session, because its keys are digests."""
    folder = tmp_path_factory.getbasetemp() / "home"
    monkeypatch.setenv("BENCH_HOME", str(folder))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    return folder


@pytest.fixture(scope="session")
def digits():
    """The 5000 embedded digits: 4000 to train on, 1000 held out."""
    return data.load("mnist5k")


@pytest.fixture(scope="session")
def train(digits):
    """500 training digits as a sampler sees them, float32 (500, 1, 32, 32)."""
    return data.to_float(digits.train[:500], digits.pad)


@pytest.fixture(scope="session")
def mnist():
    """The full MNIST, for tests marked `mnist`."""
    return MNIST


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)
