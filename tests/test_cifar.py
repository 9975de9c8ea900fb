"""CIFAR-10 as torchvision lays it out: found, checked, in colour."""

import hashlib
import pickle

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from bench.data import cifar, datasets, reachable
from denoisers.errors import UsageError


@pytest.fixture
def small(tmp_path, monkeypatch, rng):
    """Six files of 20 images that are CIFAR-10's for this test."""
    folder = tmp_path / cifar.FOLDER
    folder.mkdir()
    known = {}
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        content = {
            "data": rng.integers(0, 256, (20, 3072), np.uint8),
            "labels": list(range(10)) * 2,
        }
        (folder / name).write_bytes(pickle.dumps(content))
        known[name] = content
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))

    def md5(name):
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    monkeypatch.setattr(
        CIFAR10, "train_list", [[f"data_batch_{i}", md5(f"data_batch_{i}")] for i in range(1, 6)]
    )
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5("test_batch")]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5("batches.meta")}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    monkeypatch.setattr(reachable, "reachable", lambda *_: False)
    return tmp_path, known


def test_it_is_read_from_the_folder_asked_for_and_from_the_environment(small, monkeypatch):
    root, known = small
    found = datasets.load("cifar10", root)
    assert (found.name, found.shape, found.pad, found.what) == (
        "cifar10",
        (3, 32, 32),
        0,
        "cifar10",
    )
    assert (len(found.train), len(found.held_out), found.classes) == (100, 20, 10)
    first = known["data_batch_1"]["data"][0].reshape(3, 32, 32).transpose(1, 2, 0)
    assert np.array_equal(found.train[0], first)
    monkeypatch.setenv("BENCH_DATA", str(root))
    assert datasets.load("cifar10").id == found.id
    assert datasets.at_hand(found.id).id == found.id
    assert datasets.at_hand("cifar10@0000000000000000") is None


def test_a_file_with_another_md5_is_not_opened(small):
    root, _ = small
    (root / cifar.FOLDER / "data_batch_3").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(
        UsageError, match=r"^--data-dir: .*cifar-10-batches-py is damaged, or not CIFAR-10's"
    ):
        datasets.load("cifar10", root)


def test_where_there_is_none_it_says_what_to_do(small, tmp_path, monkeypatch):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(
        UsageError, match=r"^--data-dir: no CIFAR-10 in .*expected .*cifar-10-batches-py"
    ):
        datasets.load("cifar10", empty)
    with pytest.raises(UsageError, match=r"no CIFAR-10 in .*; point --data-dir or BENCH_DATA"):
        datasets.load("cifar10")
