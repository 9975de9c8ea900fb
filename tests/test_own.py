"""Datasets of a user's own: folders, npz and zips; which images are held out, and what is refused."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from bench.data import datasets, own
from denoisers.errors import UsageError

N = 48


@pytest.fixture
def colours(rng):
    """Images uint8 (N, 7, 5, 3) that differ."""
    return rng.integers(0, 256, (N, 7, 5, 3), np.uint8)


def save(folder, images, mode=None, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        drawn = Image.fromarray(image)
        (drawn.convert(mode) if mode else drawn).save(folder / f"{i:03}{suffix}")
    return folder


def members(images):
    for i, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(image).save(file, format="PNG")
        yield f"00000/img{i:08}.png", file.getvalue()


def packed(path, images, labels=None):
    with zipfile.ZipFile(path, "w") as archive:
        names = []
        for name, content in members(images):
            archive.writestr(name, content)
            names.append(name)
        if labels is not None:
            rows = None
            if not isinstance(labels, str):
                rows = [[name, int(kind)] for name, kind in zip(names, labels, strict=True)]
            archive.writestr("dataset.json", json.dumps({"labels": rows}))
    return path


def both(dataset):
    """All images, in the order of their bytes: however they were divided."""
    whole = np.concatenate([dataset.train, dataset.held_out])
    return sorted(image.tobytes() for image in whole)


def test_a_folder_an_npz_and_a_zip_of_the_same_images_are_the_same_dataset(tmp_path, colours):
    np.savez(tmp_path / "mine.npz", arr_0=colours)
    np.savez(tmp_path / "first.npz", arr_0=np.moveaxis(colours, -1, 1))
    paths = save(tmp_path / "mine", colours), packed(tmp_path / "mine.zip", colours)
    found = [datasets.load(str(path)) for path in (*paths, tmp_path / "mine.npz")]
    assert len({dataset.id for dataset in found}) == 1
    assert datasets.load(str(tmp_path / "first.npz")).digest == found[0].digest
    first = found[0]
    assert (first.name, first.shape, first.pad, first.classes) == ("mine", (3, 7, 5), 0, 0)
    assert (len(first.train), len(first.held_out)) == (40, 8)
    assert both(first) == sorted(image.tobytes() for image in colours)
    assert "one image in 6 held out" in first.origin
    assert first.origin.startswith(".png")


def test_folders_called_train_and_test_say_what_is_held_out(tmp_path, colours):
    save(tmp_path / "mine" / "train", colours[:30])
    save(tmp_path / "mine" / "test", colours[30:])
    found = datasets.load(str(tmp_path / "mine"))
    assert np.array_equal(found.train, colours[:30])
    assert sorted(x.tobytes() for x in found.held_out) == sorted(x.tobytes() for x in colours[30:])


@pytest.mark.parametrize("kind", ["zip", "npz"])
def test_a_file_with_test_in_the_place_of_train_beside_it_is_held_out(tmp_path, colours, kind):
    for name, part in (("train", colours[:30]), ("test", colours[30:])):
        path = tmp_path / f"set-{name}-32.{kind}"
        packed(path, part) if kind == "zip" else np.savez(path, arr_0=part)
    found = datasets.load(str(tmp_path / f"set-train-32.{kind}"))
    assert (len(found.train), len(found.held_out)) == (30, 18)
    assert "set-test-32" in found.origin


def test_labels_of_all_three(tmp_path, colours):
    labels = np.arange(N) % 3
    for kind in range(3):
        save(tmp_path / "mine" / f"class{kind}", colours[labels == kind])
    np.savez(tmp_path / "mine.npz", arr_0=colours, labels=labels)
    packed(tmp_path / "mine.zip", colours, labels)
    by_image = dict(zip((image.tobytes() for image in colours), labels, strict=True))
    for name in ("mine", "mine.npz", "mine.zip"):
        found = datasets.load(str(tmp_path / name))
        assert found.classes == 3
        for images, classes in (
            (found.train, found.train_labels),
            (found.held_out, found.held_out_labels),
        ):
            assert [by_image[image.tobytes()] for image in images] == classes.tolist()


def test_classes_of_a_test_set_are_those_of_the_training_set(tmp_path, colours):
    for i, name in enumerate("abc"):
        save(tmp_path / "mine" / "train" / name, colours[12 * i : 12 * i + 12])
    for i, name in enumerate("bc"):
        save(tmp_path / "mine" / "test" / name, colours[36 + 6 * i : 42 + 6 * i])
    found = datasets.load(str(tmp_path / "mine"))
    held = {x.tobytes(): k for x, k in zip(found.held_out, found.held_out_labels, strict=True)}
    assert [held[image.tobytes()] for image in colours[36:]] == [1] * 6 + [2] * 6
    save(tmp_path / "mine" / "test" / "d", colours[:1])
    with pytest.raises(UsageError, match=r"test has a class 'd', which .*train has not"):
        datasets.load(str(tmp_path / "mine"))


def test_a_zip_may_say_that_it_has_no_labels(tmp_path, colours):
    assert datasets.load(str(packed(tmp_path / "x.zip", colours, "null"))).classes == 0


GREYS = {
    "grey": lambda grey: grey,
    "grey in RGB": lambda grey: np.repeat(grey[..., None], 3, axis=-1),
    "16 bit": lambda grey: grey.astype(np.uint16) * 257,
}


@pytest.mark.parametrize("kind", GREYS)
def test_what_is_grey_is_grey_however_it_is_stored(tmp_path, colours, kind):
    grey = colours[..., 0]
    found = datasets.load(str(save(tmp_path / "mine", GREYS[kind](grey))))
    assert found.channels == 1
    assert both(found) == sorted(image.tobytes() for image in grey)


def test_where_some_are_in_colour_grey_ones_are_too(tmp_path, colours):
    folder = save(tmp_path / "mine", colours)
    Image.fromarray(colours[0, ..., 0]).save(folder / "000.png")
    found = datasets.load(str(folder))
    assert found.shape == (3, 7, 5)
    expected = np.repeat(colours[0, ..., :1], 3, axis=-1)
    assert expected.tobytes() in both(found)


def test_a_palette_stands_for_its_colours_and_opaque_alpha_for_nothing(tmp_path, colours):
    few = colours // 64 * 64
    save(tmp_path / "palette", few, "P")
    save(tmp_path / "alpha", colours, "RGBA")
    assert datasets.load(str(tmp_path / "palette")).channels == 3
    assert both(datasets.load(str(tmp_path / "alpha"))) == sorted(x.tobytes() for x in colours)


def transparent(folder):
    Image.new("RGBA", (5, 7), (1, 2, 3, 9)).save(folder / "007.png")


def another_size(folder):
    Image.new("RGB", (6, 7)).save(folder / "007.png")


def deep_colour(folder):
    Image.new("CMYK", (5, 7)).save(folder / "007.tiff")


REFUSED = {
    transparent: "007.png is transparent in places",
    another_size: r"several sizes: 000.png has 7x5, 007.png 7x6; .* --dataset patches:FOLDER",
    deep_colour: "007.tiff is in CMYK",
    lambda folder: (folder / "007.png").write_bytes(
        b"no image"
    ): "007.png cannot be read as an image",
    lambda folder: (folder / "007.png").write_bytes(b""): "007.png is not readable: it is empty",
    lambda folder: (folder / "x.gif").write_bytes(b"GIF89a"): "images of a kind that is not read",
    lambda folder: [
        path.unlink() for path in sorted(folder.iterdir())[35:]
    ]: "has 35 images; expected 36",
    lambda folder: [path.unlink() for path in folder.iterdir()]: "no images in",
}


@pytest.mark.parametrize("change", REFUSED, ids=range(len(REFUSED)))
def test_what_has_no_one_meaning_is_refused_by_the_name_of_the_file(tmp_path, colours, change):
    change(save(tmp_path / "mine", colours))
    with pytest.raises(UsageError, match=rf"^--dataset: .*{REFUSED[change]}"):
        datasets.load(str(tmp_path / "mine"))


def text(path, content):
    path.write_text(content)
    return path


def member(path, name, content, images):
    with zipfile.ZipFile(packed(path, images), "a") as archive:
        archive.writestr(name, content)
    return path


BAD = {
    "no archive": (lambda p, x: text(p / "x.zip", "no"), "x.zip is no readable archive"),
    "an archive of nothing": (lambda p, x: packed(p / "x.zip", x[:0]), "no images in .*x.zip"),
    "no image in it": (
        lambda p, x: member(p / "x.zip", "00000/a.png", b"no", x),
        "x.zip/00000/a.png cannot be read as an image",
    ),
    "no JSON": (
        lambda p, x: member(p / "x.zip", "dataset.json", "no", x),
        r"x.zip/dataset.json is not readable",
    ),
    "other JSON": (
        lambda p, x: member(p / "x.zip", "dataset.json", "[1]", x),
        "dataset.json is not",
    ),
    "labels of others": (
        lambda p, x: member(p / "x.zip", "dataset.json", '{"labels": [["a", 1]]}', x),
        "has no label for 00000/img00000000.png",
    ),
    "an npz of words": (
        lambda p, x: np.savez(p / "x.npz", arr_0=np.array(["a"])) or p / "x.npz",
        "expected .N, H, W.",
    ),
    "too few labels": (
        lambda p, x: np.savez(p / "x.npz", arr_0=x, labels=np.zeros(3, int)) or p / "x.npz",
        r"has labels int64 \(3,\) for 48 images",
    ),
    "labels that are none": (
        lambda p, x: np.savez(p / "x.npz", arr_0=x, labels=np.zeros(N)) or p / "x.npz",
        "has labels float64",
    ),
    "labels below 0": (
        lambda p, x: np.savez(p / "x.npz", arr_0=x, labels=np.full(N, -1)) or p / "x.npz",
        "has the label -1",
    ),
    "a text": (lambda p, x: text(p / "x.txt", "no"), "x.txt is no dataset"),
    "images of a pixel": (
        lambda p, x: np.savez(p / "x.npz", arr_0=x[:, :1, :1]) or p / "x.npz",
        "images of 1x1",
    ),
    "floats out of range": (
        lambda p, x: np.savez(p / "x.npz", arr_0=x.astype("f4") * 9) or p / "x.npz",
        "holds floats from",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named_in_one_sentence(tmp_path, colours, case):
    make, said = BAD[case]
    with pytest.raises(UsageError, match=rf"^--dataset: .*{said}") as found:
        datasets.load(str(make(tmp_path, colours)))
    assert "\n" not in str(found.value)


def test_a_folder_that_is_called_as_a_set_of_ours_is_told_from_it(tmp_path, colours):
    for name in ("mnist", "patches"):
        assert datasets.load(str(save(tmp_path / name, colours))).name == f"own-{name}"


@pytest.mark.parametrize("name", ["/abs.png", "a//b.png", "a/./b.png", "../b.png"])
def test_odd_names_in_a_zip_are_said(tmp_path, colours, name):
    path = packed(tmp_path / "x.zip", colours)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, next(members(colours))[1])
    if name == "../b.png":
        assert len(datasets.load(str(path)).train) > 0  # read from the archive, written nowhere
        return
    with pytest.raises(UsageError, match=r"x.zip holds .*; expected names of files in folders"):
        datasets.load(str(path))


@pytest.mark.parametrize("shape", [(0, 8, 8), (40, 0, 8), (0, 8, 8, 3)])
def test_arrays_of_nothing(tmp_path, shape):
    np.savez(tmp_path / "x.npz", arr_0=np.zeros(shape, np.uint8))
    with pytest.raises(UsageError, match=r"x.npz holds no images: arr_0 has the shape"):
        datasets.load(str(tmp_path / "x.npz"))


def test_a_training_folder_without_one_of_tests(tmp_path, colours):
    save(tmp_path / "mine" / "train", colours)
    save(tmp_path / "mine" / "val", colours)
    with pytest.raises(UsageError, match="has a folder train and no folder test beside it"):
        datasets.load(str(tmp_path / "mine"))


def test_too_few_are_held_out_to_be_scored_against(tmp_path, colours):
    save(tmp_path / "mine" / "train", colours)
    save(tmp_path / "mine" / "test", colours[:5])
    with pytest.raises(UsageError, match="mine has 5 images held out; expected 6 at least"):
        datasets.load(str(tmp_path / "mine"))


def test_a_name_with_an_at_is_told_from_a_set_of_ours(tmp_path, colours):
    assert datasets.load(str(save(tmp_path / "mnist@home", colours))).name == "mnist-home"


def test_two_sets_that_do_not_fit_each_other(tmp_path, colours):
    save(tmp_path / "a" / "train", colours)
    save(tmp_path / "a" / "test", colours[:, :6])
    with pytest.raises(UsageError, match=r"those in .*train have 7x5, those in .*test 6x5"):
        datasets.load(str(tmp_path / "a"))
    np.savez(tmp_path / "train.npz", arr_0=colours, labels=np.arange(N))
    np.savez(tmp_path / "test.npz", arr_0=colours)
    with pytest.raises(UsageError, match=r"test.npz has no labels, as the other has"):
        datasets.load(str(tmp_path / "train.npz"))


def test_grey_beside_colour_is_in_colour(tmp_path, colours):
    np.savez(tmp_path / "train.npz", arr_0=colours)
    np.savez(tmp_path / "test.npz", arr_0=colours[..., 0])
    assert datasets.load(str(tmp_path / "train.npz")).held_out.shape == (N, 7, 5, 3)


def test_more_than_is_allowed_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(own.reading, "allowed", lambda: 1000)
    np.savez(tmp_path / "x.npz", arr_0=np.zeros((100, 8, 8), np.uint8))
    with pytest.raises(UsageError, match="--max-bytes"):
        datasets.load(str(tmp_path / "x.npz"))


@pytest.mark.parametrize("grey", [True, False])
def test_a_large_npy_is_left_where_it_is(tmp_path, monkeypatch, colours, grey):
    images = colours[..., 0] if grey else colours
    np.save(tmp_path / "train.npy", images)
    np.save(tmp_path / "test.npy", images[:12] ^ 1)
    read = datasets.load(str(tmp_path / "train.npy"))
    monkeypatch.setattr(own, "MAPPED", 1)
    mapped = datasets.load(str(tmp_path / "train.npy"))
    assert isinstance(own.read(tmp_path / "train.npy").images.base, np.memmap)
    assert not mapped.train.flags.writeable  # else it would count as memory
    assert mapped.digest == read.digest
    assert np.array_equal(mapped.train, images)
    assert np.array_equal(mapped.held_out, read.held_out)


def test_a_large_npy_that_is_cut_short_is_named(tmp_path, monkeypatch, colours):
    np.save(tmp_path / "a.npy", colours)
    monkeypatch.setattr(own, "MAPPED", 1)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-1])
    with pytest.raises(UsageError, match=r"a\.npy cannot be read as arrays"):
        own.load(tmp_path / "a.npy")
