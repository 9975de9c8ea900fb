"""Files that are damaged, hostile or none at all end in one sentence, in seconds and little memory; nothing is run."""

import io
import os
import pickle
import re
import struct
import tarfile
import time
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image

import denoisers
from bench.data import datasets, given, photographs
from denoisers import memory, reading, weights
from denoisers.errors import UsageError

HUGE = 10**10  # elements: 40 GB
SECONDS, BYTES = 10, 2**30


def kilobytes(field):
    return memory.kilobytes("/proc/self/status", field)


@pytest.fixture
def cheap():
    """Fails a test that takes longer, or more memory beyond what was held, than a hostile file may."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = kilobytes("VmHWM"), time.process_time()
    yield
    assert kilobytes("VmHWM") - before < BYTES
    assert time.process_time() - start < SECONDS


# Pickles by hand: torch.save would not write these.


def storage(count, kind=b"FloatStorage", key=b"0"):
    return (
        b"(X\x07\0\0\0storagectorch\n"
        + kind
        + b"\nX\x01\0\0\0"
        + key
        + b"X\x03\0\0\0cpu"
        + integer(count)
        + b"tQ"
    )


def integer(value):
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def tensor(count, shape, stride):
    sizes = [b"(" + b"".join(map(integer, numbers)) + b"t" for numbers in (shape, stride)]
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage(count)
        + integer(0)
        + b"".join(sizes)
        + b"\x89}tR"
    )


def named(**values):
    """A pickle of a dictionary."""
    items = b"".join(
        b"X" + struct.pack("<L", len(key)) + key.encode() + value for key, value in values.items()
    )
    return b"\x80\x02}(" + items + b"u."


def archive(path, program, data=b"", **members):
    """A checkpoint as PyTorch writes it, around a pickle."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in {
            "data.pkl": program,
            "data/0": data,
            "version": b"3",
            **members,
        }.items():
            file.writestr(f"archive/{name}", content)
    return path


def lying(path, claimed):
    """The archive, with every size in its directory replaced."""
    content = bytearray(path.read_bytes())
    for found in re.finditer(b"PK\1\2", bytes(content)):
        struct.pack_into("<L", content, found.start() + 24, claimed)
    path.write_bytes(content)
    return path


def whole_network(path):
    torch.save(torch.nn.Conv2d(1, 1, 3), path)


def torch_script(path):
    archive(
        path, named(a=b"N"), **{"code/__torch__.py": b"print(1)", "constants.pkl": b"\x80\x02)."}
    )


def tar(path):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as file:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            file.addfile(tarfile.TarInfo(name), io.BytesIO())


def nested_tuples(levels):
    """As a key of a dictionary: hashing it would take 2 ** levels steps."""
    return b"\x80\x02})q\0" + b"0h\0h\0\x86q\0" * levels + b"Ns."


def calls(path):
    """Allowed by PyTorch: it would allocate 100 GB."""
    archive(path, named(a=b"cbuiltins\nbytearray\n(" + integer(10**11) + b"tR"))


def many_entries(path):
    with zipfile.ZipFile(path, "w") as file:
        for i in range(9):
            file.writestr(f"archive/{i}", b"")
    content = path.read_bytes()
    start = content.index(b"PK\1\2")
    end = content.rindex(b"PK\5\6")
    entries = content[start:end] * 40_000
    tail = bytearray(content[end:])
    struct.pack_into("<L", tail, 12, len(entries))
    path.write_bytes(content[:start] + entries + bytes(tail))


def holes(size, start=b""):
    def write(path):
        path.write_bytes(start)
        os.truncate(path, size)

    return write


def safetensors(length, header=b"{}"):
    return lambda path: path.write_bytes(struct.pack("<Q", length) + header)


def of_pickle(program, **options):
    return lambda path: archive(path, program, **options)


def fifo(path):
    os.mkfifo(path)


def loop(path):
    path.symlink_to(path.name)


WEIGHTS = {
    "forty gigabytes": (
        of_pickle(named(a=tensor(HUGE, [HUGE], [1]))),
        "declares 37.25 GB, and no more than 1 GB",
    ),
    "stride 0": (of_pickle(named(a=tensor(1, [HUGE], [0])), data=bytes(4)), "declares 37.25 GB"),
    "a view of much": (of_pickle(named(a=tensor(HUGE, [1], [1]))), "declares 37.25 GB"),
    "more dimensions than there are": (
        of_pickle(named(a=tensor(1, [10**30], [1]))),
        "a shape that cannot be",
    ),
    "outside its storage": (
        of_pickle(named(a=tensor(4, [9], [1])), data=bytes(16)),
        "a tensor that goes beyond its storage",
    ),
    "too little data": (
        of_pickle(named(a=tensor(9, [9], [1])), data=bytes(4)),
        "it ends after 4 of 36 bytes",
    ),
    "no data": (of_pickle(named(a=tensor(0, [0], [1]))), "does not fit UNet: at"),
    "an allocation": (calls, "found none; its keys: 'a'; write a load function"),
    "deep nesting": (
        of_pickle(b"\x80\x02" + b"](" * 300_000 + b"e" * 300_000 + b"."),
        "expected tensors by name",
    ),
    "a hash that takes for ever": (of_pickle(nested_tuples(200)), "expected tensors by name"),
    "a memo of gigabytes": (
        of_pickle(b"\x80\x02]r\xff\xff\xff\x7f."),
        "expected tensors by name, found a list",
    ),
    "endless": (
        of_pickle(b"\x80\x02]" + b"N0" * 1_500_000 + b"."),
        "more than 2000000 instructions",
    ),
    "a list that is copied again and again": (
        of_pickle(
            b"\x80\x02](X\1\0\0\0aNeq\1]("
            + b"h\1" * 99_999
            + b"e\x85q\0"
            + b"0ccollections\nOrderedDict\nh\0R" * 999
            + b"."
        ),
        "more than 2000000 instructions",
    ),
    "a description of gigabytes": (
        of_pickle(b"\x80\x02" + b"N0" * 2**23 + b"N."),
        "16 MB to describe its tensors",
    ),
    "pops what is not there": (of_pickle(b"\x80\x020."), "it is damaged"),
    "an instruction of old": (
        of_pickle(b"(cos\nsystem\nX\x01\0\0\0:o."),
        "it is damaged .*instruction OBJ",
    ),
    "protocol 0": (
        lambda path: path.write_bytes(b"cos\nsystem\n(S'touch exploded'\ntR."),
        "neither a checkpoint of",
    ),
    "code": (
        of_pickle(b"\x80\x02cos\nsystem\nX\x0f\0\0\0touch exploded \x85R."),
        "object of the class os.system",
    ),
    "a pickle": (
        lambda path: path.write_bytes(pickle.dumps({"a": 1})),
        "a pickle that torch.save did not write",
    ),
    "a whole network": (
        whole_network,
        "object of the class torch.nn.modules.conv.Conv2d.*torch.save.net.state_dict",
    ),
    "TorchScript": (
        torch_script,
        "a TorchScript archive, a program, which is not run here.*torch.save.net.state_dict",
    ),
    "a tar archive": (tar, "a tar archive, as PyTorch wrote before 0.1.10"),
    "another zip": (
        lambda path: zipfile.ZipFile(path, "w").writestr("a", "b"),
        "a zip archive without the data.pkl",
    ),
    "many entries": (many_entries, "is no readable archive: too many entries"),
    "half an archive": (
        lambda path: path.write_bytes(b"PK\3\4" + bytes(99)),
        "is no readable archive: it is truncated",
    ),
    "holes": (holes(50 * 2**30, b"PK\3\4"), "declares 50 GB"),
    "a header beyond the file": (safetensors(2**40, b"{"), "1 TB to describe its tensors"),
    "a header of other lengths": (
        safetensors(60, b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}    '),
        "damaged",
    ),
    "HDF5": (lambda path: path.write_bytes(b"\x89HDF\r\n"), "it is HDF5, as Keras writes it"),
    "empty": (lambda path: path.touch(), "is not readable: it is empty"),
    "a folder": (lambda path: path.mkdir(), "is a folder, expected a file"),
    "a pipe": (fifo, "is a pipe, a device or a socket"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is a pipe, a device or a socket"),
    "a loop": (loop, "Too many levels of symbolic links"),
    "nothing": (
        lambda path: None,
        "no file .*x.pt; expected one, or one of the shipped cards: mnist",
    ),
}


@pytest.mark.parametrize("case", WEIGHTS)
@pytest.mark.usefixtures("cheap")
def test_weights(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, said = WEIGHTS[case]
    make(tmp_path / "x.pt")
    with pytest.raises(UsageError, match=said) as refused:
        denoisers.load("unet", str(tmp_path / "x.pt"))
    sentence = str(refused.value)
    assert sentence.startswith("--weights: ")
    assert "x.pt" in sentence
    assert "weights_only" not in sentence
    assert "\n" not in sentence
    assert len(sentence) < 600
    assert not (tmp_path / "exploded").exists()


# Of networks with layers just above 2 GB, in files of a few bytes: every tensor has stride 0.
NETWORKS = {
    "ffdnet": {
        "model.0.weight": [8_500, 5, 3, 3],
        "model.2.weight": [1, 1, 3, 3],
        "model.4.weight": [4, 1, 3, 3],
    },
    "spandrel": {
        "model.0.weight": [8_500, 1, 3, 3],
        **{f"model.{i}.weight": [1, 1, 3, 3] for i in range(2, 16, 2)},
        **{f"model.{i}.bias": [1] for i in range(0, 16, 2)},
    },
    "kbnet": {
        "intro.weight": [24_000, 1, 3, 3],
        "encoders.0.0.w": [1, 1, 9 * 24_000],
        "encoders.0.0.conv4.weight": [24_000],
        "encoders.0.0.conv11.1.weight": [1, 1, 3, 3],
    },
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.usefixtures("cheap")
def test_networks_that_a_small_file_says_are_large(name, tmp_path):
    tensors = {key: tensor(1, shape, [0] * len(shape)) for key, shape in NETWORKS[name].items()}
    archive(tmp_path / "x.pt", named(**tensors), data=bytes(4))
    with pytest.raises(
        UsageError, match=r"^--weights: .*x\.pt.* describes a network that takes more than 2 GB"
    ):
        denoisers.load(name, str(tmp_path / "x.pt"), sigma_255="25")


def test_what_a_file_may_hold_is_a_setting(tmp_path):
    archive(tmp_path / "x.pt", named(a=tensor(1000, [1000], [1])), data=bytes(4000))
    before = reading.allowed()
    try:
        reading.allow(reading.parse_bytes("3K"))
        with pytest.raises(
            UsageError, match=r"declares 3\.906 KB, and no more than 3 KB are read; .*--max-bytes"
        ):
            weights.read_state(tmp_path / "x.pt")
        reading.allow(reading.parse_bytes("4K"))
        assert weights.read_state(tmp_path / "x.pt")["a"].shape == (1000,)
    finally:
        reading.allow(before)
    for wrong in ("", "0", "-1", "4 apples", "1e9", "١", "9" * 99):
        with pytest.raises(UsageError, match="must be a number of bytes such as 500M or 4G"):
            reading.parse_bytes(wrong)


def test_no_more_is_unpacked_than_is_asked_for(tmp_path):
    """Of an archive whose directory says that its entries are small, and of one that says they are large."""
    program = named(a=tensor(4, [4], [1]))
    for claimed in (16, 2**31):
        path = lying(archive(tmp_path / "x.pt", program, data=bytes(16) + bytes(10**8)), claimed)
        try:
            assert weights.read_state(path)["a"].tolist() == [0] * 4
        except UsageError as error:
            assert "cannot be read" in str(error)


# Images and arrays


def npy(shape, dtype="|u1", data=b"", order=False):
    text = f"{{'descr': {dtype!r}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + data


def npz(path, *arrays, kind=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", kind) as file:
        for i, content in enumerate(arrays):
            file.writestr(f"arr_{i}.npy", content)


def png(size, *chunks, tail=True):
    """A PNG of that size in its header, and of little data."""
    header = struct.pack(">LLBBBBB", *size, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(bytes(900)))] + [
        (b"IEND", b"")
    ] * tail
    body = (
        struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def large_profile():
    return png((28, 28), (b"iCCP", b"x\0\0" + zlib.compress(bytes(10**8))))


def content(data):
    return lambda path: path.write_bytes(data)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n%%EndComments\n(exploded) (w) file closefile\nshowpage\n"
SCORED = {
    ("a.npz", "forty gigabytes"): (
        lambda path: npz(path, npy((10**8, 28, 28))),
        "declares 73.02 GB",
    ),
    ("a.npz", "another size"): (
        lambda path: npz(path, npy((6, 10**5, 10**5))),
        "images of 100000x100000 pixels, expected 28x28",
    ),
    ("a.npz", "more numbers than there are"): (
        lambda path: npz(path, npy((10**300, 28, 28))),
        "declares 1.1e\\+12 TB",
    ),
    ("a.npz", "no numbers"): (
        lambda path: npz(path, npy((6, 28, -28))),
        "cannot be read as arrays: an array of shape",
    ),
    ("a.npz", "objects"): (
        lambda path: npz(path, npy((6, 28, 28), "|O")),
        "holds objects of Python's",
    ),
    ("a.npz", "a long header"): (
        lambda path: npz(path, npy("(" * 50_000)),
        "cannot be read as arrays",
    ),
    ("a.npz", "too little data"): (
        lambda path: npz(path, npy((6, 28, 28), data=b"1")),
        "it ends after 1 of 4704 bytes",
    ),
    ("a.npz", "wide elements"): (
        lambda path: npz(path, npy((6, 28, 28), "|V99999999")),
        "holds .V99999999, expected uint8",
    ),
    ("a.npz", "bzip2"): (
        lambda path: npz(path, npy((6, 28, 28)), kind=zipfile.ZIP_BZIP2),
        "compressed in an unusual way",
    ),
    ("a.npz", "nothing"): (npz, "holds no array"),
    ("a.npy", "forty gigabytes"): (content(npy((10**8, 28, 28), "<f8")), "declares 584.1 GB"),
    ("a.npy", "a pipe"): (fifo, "is a pipe, a device or a socket"),
    ("a.npy", "a device"): (
        lambda path: path.symlink_to("/dev/zero"),
        "is a pipe, a device or a socket",
    ),
    ("a.npy", "a loop"): (loop, "no file or folder"),
    ("a.pt", "stride 0"): (
        of_pickle(tensor(1, [10**8, 28, 28], [0, 0, 0])[:-1] + b"R."),
        "declares 292.1 GB",
    ),
    ("a.pt", "another size"): (
        of_pickle(tensor(1, [10**5, 10**5], [0, 0]) + b"."),
        "an array of shape .100000, 100000.",
    ),
    ("a.pt", "TorchScript"): (
        torch_script,
        "a TorchScript archive.*; expected an .npz with arr_0, a folder of PNGs",
    ),
    ("a.png", "one image"): (
        lambda path: Image.new("L", (28, 28)).save(path),
        "holds 1 image; scores need at least 6; a folder",
    ),
    ("a.png", "a bomb"): (
        content(png((2**31 - 1, 2**31 - 1))),
        "declares more pixels than any photograph has",
    ),
    ("a.png", "a smaller bomb"): (
        content(png((15_000, 15_000))),
        "declares more pixels than any",
    ),
    ("a.png", "PostScript"): (content(EPS), "it is none of PNG, JPEG"),
    ("a.png", "a profile that unpacks"): (content(large_profile()), "Decompressed data too large"),
    ("a.png", "a text that unpacks"): (
        content(png((28, 28), (b"zTXt", b"x\0\0" + zlib.compress(bytes(10**8))))),
        "Decompressed data too large",
    ),
    ("a.png", "truncated"): (
        content(png((28, 28))[:40]),
        "cannot be read as an image|holds 1 image",
    ),
    ("a.tif", "no TIFF"): (content(b"II*\0" + b"\xff" * 99), "cannot be read as an image"),
    ("a.webp", "no WebP"): (content(b"RIFF\xff\xff\xff\x7fWEBPVP8 "), "cannot be read as an image"),
}


@pytest.mark.parametrize(("name", "case"), SCORED)
@pytest.mark.usefixtures("cheap")
def test_images_to_score(name, case, tmp_path, digits, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("subprocess.Popen", None)  # of Ghostscript
    make, said = SCORED[name, case]
    make(tmp_path / name)
    with pytest.raises(UsageError, match=said) as refused:
        given.read(tmp_path / name, digits)
    sentence = str(refused.value)
    assert name in sentence
    assert "allow_pickle" not in sentence
    assert "\n" not in sentence
    assert len(sentence) < 600
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("form", ["GIF", "PCX", "ICO", "EPS", "PDF"])
def test_only_the_formats_that_are_meant_are_opened(form, tmp_path):
    Image.new("L", (28, 28)).save(tmp_path / "x.dat", form)
    os.rename(tmp_path / "x.dat", tmp_path / "x.png")
    with pytest.raises(
        UsageError, match=r"x\.png cannot be read as an image: it is none of PNG, JPEG, BMP, TIFF"
    ):
        photographs.read(tmp_path)


@pytest.mark.usefixtures("cheap")
def test_folders_of_images_are_measured_before_they_are_decoded(tmp_path, digits):
    for i in range(8):
        (tmp_path / f"{i}.png").write_bytes(png((11_000, 11_000)))
    with pytest.raises(UsageError, match="images of 11000x11000 pixels, expected 28x28"):
        given.read(tmp_path, digits)
    os.mkfifo(tmp_path / "a.png")  # is no file, and not opened
    with pytest.raises(UsageError, match=r"0\.png cannot be read as an image: .*truncated"):
        photographs.read(tmp_path)
    (tmp_path / "b.png").symlink_to("b.png")
    with pytest.raises(UsageError, match=r"links to images that are not there: .*b\.png"):
        photographs.read(tmp_path)


@pytest.mark.usefixtures("cheap")
def test_digits_of_gigabytes(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        holes(50 * 2**30, struct.pack(">4i", 0x803, 60_000, 900, 900))(raw / f"{part}-ubyte")
    with pytest.raises(UsageError, match=r"^--data-dir: .*-ubyte declares 50 GB"):
        datasets.load("mnist", tmp_path)


# Cards


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (holes(2**30 + 1), "declares 1 GB|1 GB"),
        (holes(2**25), "it is longer than 16 MB"),
        (content(b"[" * 100_000 + b"]" * 100_000), "it is nested too deeply"),
        (content(b'{"a":' * 100_000), "it is nested too deeply"),
        (content(b'{"sigma_max": NaN}'), "NaN is no number"),
        (content(b'{"sigma_max": 1e999}'), "1e999 is no number"),
        (content(b'{"sigma_max": ' + b"9" * 5000 + b"}"), "x.json is not readable"),
        (content(b'{"sigma_max": "high"}'), "sigma_max must be a float, found str"),
        (content(b'{"sigma_max": -1}'), "expected 0 <= sigma_min <= sigma_max"),
        (content(b'{"name": ["x"]}'), "name must be a str, found list"),
        (content(b"\xff\xfe{}"), "x.json is not readable"),
        (content(b"null"), "expected an object, found NoneType"),
        (fifo, "is a pipe, a device or a socket"),
        (lambda path: path.mkdir(), "is a folder, expected a file"),
    ],
)
@pytest.mark.usefixtures("cheap")
def test_cards(make, said, tmp_path, checkpoints):
    (tmp_path / "x.pth").write_bytes(Path(checkpoints["ffdnet"]["weights"]).read_bytes())
    make(tmp_path / "x.json")
    with pytest.raises(UsageError, match=said):
        denoisers.load("ffdnet", str(tmp_path / "x.pth"))


# As a user meets them


COMMANDS = {
    "PATH": ["score", "{}"],
    "--weights": ["check", "ffdnet", "--weights", "{}"],
    "--features-weights": [
        "score",
        "{}",
        "--features",
        "timm:test_resnet",
        "--features-weights",
        "{}",
    ],
    "--images": ["gauge", "--denoiser", "median", "--images", "{}"],
    "--data": ["train", "kbnet", "--data", "{}", "--epochs", "1", "--name", "x"],
}


BEGINNINGS = ("loading PyTorch", "training")  # what a command that takes a while says first


@pytest.mark.parametrize("flag", COMMANDS)
@pytest.mark.usefixtures("cheap")
def test_sentences_begin_with_the_flag(flag, bench, tmp_path, digits, monkeypatch):
    monkeypatch.setattr("bench.data.datasets.load", lambda *args: digits)
    path = tmp_path / "hostile" / "x.png"
    path.parent.mkdir()
    path.write_bytes(EPS)
    for place in (path, path.parent) if flag in ("PATH", "--images", "--data") else (path,):
        words = [word.format(place) for word in COMMANDS[flag]]
        status, out, err = bench(*words)
        assert status == 2
        assert not out
        (said,) = [line for line in err.splitlines() if line not in BEGINNINGS]
        assert said.startswith(f"error: {flag}: ")
        assert "x.png cannot be read" in said


def test_memory_that_is_not_to_be_had_is_said_in_a_sentence(bench, monkeypatch):
    for error in (
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: ..."),
    ):
        monkeypatch.setattr(
            "bench.data.datasets.load", lambda *args, error=error: (_ for _ in ()).throw(error)
        )
        status, _, err = bench("gauge", "--denoiser", "median", "--num", "5")
        assert (status, err.splitlines()[-1]) == (
            1,
            "error: there is not enough free memory for this",
        )


def test_every_command_is_limited_to_the_memory_that_there_is(bench, monkeypatch):
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    monkeypatch.setattr("bench.cli.entry.free_memory", lambda: 3 * 2**30)
    bench("list")
    limited = resource.getrlimit(resource.RLIMIT_DATA)[0]
    assert abs(limited - kilobytes("VmData") - 3 * 2**30) < 2**29
    with pytest.raises(RuntimeError, match="allocate memory"):
        torch.empty(2**32, dtype=torch.uint8)
    memory.lift_limit()
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == before[1]
    torch.empty(2**32, dtype=torch.uint8)
