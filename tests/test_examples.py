"""The examples run, and write what `bench score` reads."""

import runpy
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

VAE = Path(__file__).parent.parent / "examples" / "vae.py"


def test_the_vae_is_a_short_script_of_its_own():
    code = VAE.read_text()
    assert len(code.splitlines()) < 110
    assert "import bench" not in code
    assert "from bench" not in code


@pytest.fixture
def folder(digits, tmp_path):
    """640 digits in the files that torchvision reads."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images, labels = digits.train[:640], digits.train_labels[:640].astype(np.uint8)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">4i", 0x803, *images.shape) + images.tobytes()
        )
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">2i", 0x801, len(labels)) + labels.tobytes()
        )
    return tmp_path


def test_the_vae_learns_and_writes_the_same_images_again(folder, monkeypatch):
    def samples(*arguments):
        command = [str(VAE), "--data-dir", str(folder), "--batch-size", "32", "--epochs", "2"]
        monkeypatch.setattr(sys, "argv", [*command, "--out", str(folder / "vae.npz"), *arguments])
        runpy.run_path(str(VAE), run_name="__main__")
        return np.load(folder / "vae.npz")["arr_0"]

    images = samples("--num", "40")
    assert images.shape == (40, 28, 28, 1)
    assert images.dtype == np.uint8
    # A dark frame; an untrained decoder is grey.
    assert images[:, :3].mean() < images[:, 12:16, 12:16].mean() / 2
    assert (samples("--num", "20") == images[:20]).all()
    assert (samples("--num", "20", "--seed", "1") != images[:20]).any()
