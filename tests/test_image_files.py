"""Each mode of an image is read as it is meant, or refused with the file's name."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bench.data import image_files, levels
from denoisers.errors import UsageError

GREYS = np.arange(256, dtype=np.uint8).reshape(8, 32)  # no square: what is turned is seen
INK = np.where(GREYS > 99, 255, 0).astype(np.uint8)
TURNED = {
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).T,
    8: np.rot90,
}


def opaque(mode, alpha=255):
    image = Image.fromarray(GREYS).convert(mode)
    image.putalpha(Image.new("L", image.size, alpha))
    return image


def palette():
    image = Image.fromarray(255 - GREYS).convert("P")
    image.putpalette([level for grey in range(255, -1, -1) for level in (grey,) * 3])
    return image


def read(path, colour="refused"):
    return image_files.read({path.name: path}, str(path), colour)[path.name]


def deep(kind):
    return Image.frombytes(
        kind, GREYS.shape[::-1], (GREYS.astype(">u2" if "B" in kind else "<u2") * 257).tobytes()
    )


def chunk(name, data):
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))


def raw_png(depth, colour, rows, *chunks):
    """A PNG that Pillow does not write: 4 x 4 pixels."""
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", 4, 4, depth, colour, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + b"".join(chunks)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


ACCEPTED = {
    "1": ("a.png", Image.fromarray(INK).convert("1"), {}, INK),
    "1 as TIFF": ("a.tif", Image.fromarray(INK).convert("1"), {}, INK),
    "1 as PBM": ("a.pbm", Image.fromarray(INK).convert("1"), {}, INK),
    "L": ("a.png", Image.fromarray(GREYS), {}, GREYS),
    "L as BMP": ("a.bmp", Image.fromarray(GREYS), {}, GREYS),
    "L as PGM": ("a.pgm", Image.fromarray(GREYS), {}, GREYS),
    "L as WebP": ("a.webp", Image.fromarray(GREYS), {"lossless": True}, GREYS),
    "LA": ("a.png", opaque("L"), {}, GREYS),
    "LA as TIFF": ("a.tif", opaque("L"), {}, GREYS),
    "P": ("a.png", palette(), {}, GREYS),
    "P as TIFF": ("a.tif", palette(), {}, GREYS),
    "P with an opaque table": ("a.png", palette(), {"transparency": b"\xff" * 9}, GREYS),
    "PA": ("a.tif", opaque("P"), {}, GREYS),
    "RGB": ("a.png", Image.fromarray(GREYS).convert("RGB"), {}, GREYS),
    "RGB as PPM": ("a.ppm", Image.fromarray(GREYS).convert("RGB"), {}, GREYS),
    "RGB, a colour that does not occur clear": (
        *("a.png", Image.fromarray(GREYS).convert("RGB")),
        *({"transparency": (1, 2, 3)}, GREYS),
    ),
    "RGBA": ("a.png", opaque("RGB"), {}, GREYS),
    "I;16": ("a.png", deep("I;16"), {}, GREYS),
    "I;16 as TIFF": ("a.tif", deep("I;16"), {}, GREYS),
    "I;16B": ("a.tif", deep("I;16B"), {}, GREYS),
    "I;16 compressed": ("a.tif", deep("I;16"), {"compression": "tiff_lzw"}, GREYS),
    "I, of 16 bit": ("a.pgm", deep("I;16"), {}, GREYS),
    "F": ("a.tif", Image.fromarray((GREYS / 255).astype("f4")), {}, GREYS),
    "F, signed": ("a.tif", Image.fromarray((GREYS / 127.5 - 1).astype("f4")), {}, GREYS),
    "F, levels": ("a.tif", Image.fromarray(GREYS.astype("f4")), {}, GREYS),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_modes_that_are_read_as_they_are_meant(case, tmp_path):
    name, image, options, expected = ACCEPTED[case]
    image.save(tmp_path / name, **options)
    for colour in (False, True):
        found = read(tmp_path / name, colour)
        assert found.dtype == np.uint8
        assert np.array_equal(found, expected)


def several(path):
    Image.fromarray(GREYS).save(path, save_all=True, append_images=[Image.fromarray(255 - GREYS)])


def saved(image, **options):
    return lambda path: image.save(path, **options)


COLOUR = np.stack([GREYS, np.roll(GREYS, 9, 1), GREYS], -1)
REFUSED = {
    "LA, half clear": ("a.png", saved(opaque("L", 128)), "transparent"),
    "RGBA, clear": ("a.png", saved(opaque("RGB", 0)), "transparent"),
    "P with transparency": ("a.png", saved(palette(), transparency=7), "transparent"),
    "L with a clear level": ("a.png", saved(Image.fromarray(GREYS), transparency=7), "transparent"),
    "I;16 with a clear level": ("a.png", saved(deep("I;16"), transparency=257), "transparent"),
    "WebP with alpha": ("a.webp", saved(opaque("RGB", 9), lossless=True), "transparent"),
    "I": ("a.tif", saved(Image.fromarray(GREYS.astype("i4"))), "integers of 32 bit or with a sign"),
    "CMYK": ("a.tif", saved(Image.fromarray(GREYS).convert("CMYK")), "CMYK"),
    "CMYK as JPEG": ("a.jpg", saved(Image.fromarray(GREYS).convert("CMYK")), "CMYK"),
    "YCbCr": ("a.tif", saved(Image.fromarray(COLOUR).convert("YCbCr")), "YCbCr"),
    "LAB": ("a.tif", saved(Image.fromarray(GREYS).convert("RGB").convert("LAB")), "Lab"),
    "16 bit of colour": (
        "a.png",
        lambda path: path.write_bytes(raw_png(16, 2, 4 * (b"\0" + bytes(24)))),
        "16 bit a",
    ),
    "16 bit and alpha": (
        "a.png",
        lambda path: path.write_bytes(raw_png(16, 4, 4 * (b"\0" + bytes(16)))),
        "16 bit a",
    ),
    "16 bit, 0 is white": ("a.tif", saved(deep("I;16"), tiffinfo={262: 0}), "0 is white"),
    "16 bit, all but black": ("a.png", saved(Image.fromarray(GREYS.astype("u2"))), "all but black"),
    "F up to 2": (
        "a.tif",
        saved(Image.fromarray((GREYS / 127.5).astype("f4"))),
        "floats from 0 to 2",
    ),
    "F, infinite": (
        "a.tif",
        saved(Image.fromarray(np.full((4, 4), np.inf, "f4"))),
        "16 values that are not finite",
    ),
    "TIFF of two": ("a.tif", several, "several images"),
    "animated PNG": ("a.png", several, "several images"),
    "animated WebP": ("a.webp", several, "several images"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("colour", [False, True])
def test_modes_that_are_refused_by_name(case, colour, tmp_path):
    name, write, said = REFUSED[case]
    write(tmp_path / name)
    with pytest.raises(UsageError, match=said) as refused:
        read(tmp_path / name, colour)
    assert name in str(refused.value)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.ppm", "a.tif", "a.jpg"])
def test_colour_is_grey_only_where_that_is_asked_for(name, tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / name)
    with pytest.raises(UsageError, match=rf"{name} holds colour images"):
        read(tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert np.array_equal(
            read(tmp_path / name, colour="made grey"), np.asarray(image.convert("L"))
        )


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_grey_that_a_lossy_format_kept_in_colour_is_grey(name, mode, tmp_path):
    Image.fromarray(GREYS).convert(mode).save(tmp_path / name, quality=90)
    found = read(tmp_path / name)
    assert np.abs(found - GREYS.astype(int)).mean() < 4  # of the compression


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
@pytest.mark.parametrize("orientation", TURNED)
def test_images_are_turned_as_they_say(name, orientation, tmp_path):
    exif = Image.Exif()
    exif[274] = orientation
    picture = Image.new("L", (16, 8))
    picture.paste(255, (0, 0, 5, 3))
    picture.save(tmp_path / name, exif=exif)
    found = read(tmp_path / name)
    expected = TURNED[orientation](np.asarray(picture))
    assert found.shape == expected.shape
    assert ((found > 127) == (expected > 127)).mean() > 0.98  # JPEG blurs


def test_the_first_image_of_a_camera_is_the_photograph(tmp_path):
    picture = Image.fromarray(GREYS)
    picture.save(
        tmp_path / "a.mpo", "MPO", save_all=True, append_images=[Image.new("L", (8, 8), 255)]
    )
    (tmp_path / "a.mpo").rename(tmp_path / "a.jpg")
    picture.save(tmp_path / "b.jpg")
    assert np.array_equal(read(tmp_path / "a.jpg"), read(tmp_path / "b.jpg"))


def test_the_range_of_floats_is_that_of_the_set(tmp_path):
    # In [-1, 1]: -1 to -0.5, and 0 to 0.5.
    dark, bright = (GREYS / 510 - 1).astype("f4"), (GREYS / 510).astype("f4")
    for name, values in {"a.tif": dark, "b.tif": bright}.items():
        Image.fromarray(values).save(tmp_path / name)
    Image.fromarray(GREYS).save(tmp_path / "c.png")
    found = image_files.read(image_files.paths(tmp_path), "")
    assert found["b.tif"].min() == 128
    assert found["b.tif"].max() == 191
    assert np.array_equal(found["c.png"], GREYS)
    Image.fromarray(bright + 1).save(tmp_path / "d.tif")
    with pytest.raises(UsageError, match=r"d\.tif holds floats from -1 to 1\.5"):
        image_files.read(image_files.paths(tmp_path), "")


def test_sixteen_bits_are_rounded_not_cut():
    deep = np.array([[0, 128, 129, 256, 257, 65406, 65407, 65535]], np.uint16)
    assert levels.levels([deep], ["a"])(deep).tolist() == [[0, 0, 1, 1, 1, 254, 255, 255]]


def test_images_that_would_be_missed_are_named(tmp_path):
    Image.fromarray(GREYS).save(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("nowhere.png")
    with pytest.raises(UsageError, match=r"links to images that are not there: .*b\.png"):
        image_files.paths(tmp_path)
    (tmp_path / "b.png").unlink()
    Image.fromarray(GREYS).save(tmp_path / "c.gif")
    with pytest.raises(UsageError, match=r"of a kind that is not read: .*c\.gif"):
        image_files.paths(tmp_path)
