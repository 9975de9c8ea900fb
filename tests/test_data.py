"""Images in, images out; where data is looked for, and what is said when it is not there."""

import gzip
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import torch

from bench import data
from denoisers.errors import UsageError


def test_every_grey_level_survives_the_round_trip():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    x = data.to_float(levels, pad=3)
    assert x.shape == (1, 1, 22, 22)
    assert x.min() == -1
    assert x.max() == 1
    assert (x[..., :3] == -1).all()
    assert np.array_equal(data.to_uint8(x, pad=3), levels)


def test_uint8_is_rounded_and_clipped_not_wrapped():
    x = torch.tensor([-7.0, -1 + 0.9 / 127.5, 0.0, 1.4, 100]).reshape(1, 1, 1, 5)
    assert data.to_uint8(x).tolist() == [[[0, 1, 128, 255, 255]]]


def test_embedded_digits(digits):
    assert digits.train.shape == (4000, 28, 28)
    assert digits.held_out.shape == (1000, 28, 28)
    assert digits.shape == (1, 32, 32)
    assert set(digits.held_out_labels) == set(range(10))
    train = {image.tobytes() for image in digits.train}
    assert not any(image.tobytes() in train for image in digits.held_out)


def test_held_out_is_permuted_once_and_for_all():
    images = np.arange(1000, dtype=np.uint8).reshape(-1, 1, 1)
    labels = np.arange(1000)
    first, again = (data.permuted("x", images, labels, images, labels) for _ in range(2))
    assert (first.held_out_labels == again.held_out_labels).all()
    assert abs(first.held_out_labels[:200].mean() - 499.5) < 60
    assert (first.train_labels == labels).all()


def test_the_digest_depends_on_every_image(digits):
    train = digits.train.copy()
    train[-1, 0, 0] ^= 1
    other = data.Dataset("x", train, digits.train_labels, digits.held_out, digits.held_out_labels)
    assert other.digest != digits.digest


def test_unknown_dataset():
    with pytest.raises(UsageError, match="--dataset: unknown 'cifar'; available: mnist, mnist5k"):
        data.load("cifar")


def test_an_explicit_folder_without_mnist_is_an_error(tmp_path):
    with pytest.raises(UsageError, match=r"--data-dir: no MNIST in .*MNIST/raw/train-images-idx3-ubyte"):
        data.load("mnist", tmp_path)


def test_without_data_and_network_the_embedded_digits_stand_in(monkeypatch, capsys):
    monkeypatch.setattr(data, "answers", lambda url: False)
    found = data.load("mnist")
    assert found.name == "mnist5k"
    assert "NOTICE" in (said := capsys.readouterr().err)
    assert "--data-dir" in said


class Mirror(BaseHTTPRequestHandler):
    """A mirror that sends `content`, with `status`, for whatever it is asked."""

    content, status = b"", 200

    def do_GET(self):
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *args):
        pass


@pytest.mark.parametrize(
    ("content", "status", "expected"),
    [
        (gzip.compress(b"labels"), 200, True),
        (b"<html>log in</html>", 200, False),
        (b"", 200, False),
        (gzip.compress(b"labels"), 404, False),
        (gzip.compress(b"labels"), 500, False),
    ],
)
def test_the_probe_wants_gzip_not_a_login_page(monkeypatch, content, status, expected):
    """From a server on this machine, which is one more thing than a file is."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    kind = type("Mirror", (Mirror,), {"content": content, "status": status})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert data.answers(f"http://127.0.0.1:{server.server_port}/") is expected


def test_nobody_answers():
    assert data.answers("http://127.0.0.1:1/") is False
    assert data.answers("no address") is False


@pytest.mark.mnist
def test_mnist_is_whole_and_found_through_the_environment(mnist, monkeypatch, tmp_path):
    assert mnist.train.shape == (60_000, 28, 28)
    assert np.bincount(mnist.held_out_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_damaged_files_are_named(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{part}-{kind}-ubyte").write_bytes(b"\0\0\x08\x03")
    with pytest.raises(ValueError, match=r"MNIST/raw are damaged"):
        data.load("mnist", tmp_path)
    shutil.rmtree(tmp_path)
