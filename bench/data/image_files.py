"""The one reader of images, of files and arrays: the grey levels that are meant, or a refusal.

What holds for a file holds for an array of the same kind: see levels.py for types and channels,
`values` for the modes of files.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bench import folders
from bench.channels import tripled
from bench.data.levels import grey, levels, transparent
from denoisers import reading
from denoisers.errors import UsageError, in_one_line, listed

# Whatever a file is called, nothing else is tried on it.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".tif",
    ".tiff",
    ".webp",
    ".pgm",
    ".ppm",
    ".pbm",
    ".pnm",
)
# Would be missed in a folder.
UNREAD = (".gif", ".jp2", ".j2k", ".tga", ".avif", ".heic", ".heif", ".jxl", ".exr")
DECODED = 8  # bytes of a pixel, at most, while an image is decoded and made grey

ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)  # of EXIF: its tag, and what it says of a quarter turn
# What becomes of colour: it is an error, it is made grey (ITU-R 601 luma), or it stays.
Colour = Literal["refused", "made grey", "kept"]
Open = Callable[[Path], AbstractContextManager[BinaryIO]]

SAVE = "save grey images of 8 or 16 bit"
EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
REFUSED = {
    "CMYK": "is in CMYK, for print, whose greys depend on a profile",
    "YCbCr": "is in YCbCr, of which there are several",
    "LAB": "is in CIE Lab, whose lightness is no grey level",
    "HSV": "is in HSV, whose value is no grey level",
    "I": "holds integers of 32 bit or with a sign, and does not say which is white",
}


def paths(place: Path) -> dict[str, Path]:
    """The files of images below a folder, by their names in it; or the one file.

    Raises UsageError if there is none, and for images that would be missing: links that lead
    nowhere, kinds not read.
    """
    if is_image(place):
        return {place.name: place}
    below = folders.files(place, strict=place.is_dir())
    images = [path for path in below if path.suffix.lower() in SUFFIXES]
    if lost := [str(path) for path in images if path.is_symlink() and not path.exists()]:
        raise UsageError(f"links to images that are not there: {listed(lost)}; mend or remove them")
    expected = f"expected files ending in {', '.join(SUFFIXES)}"
    if unread := [str(path) for path in below if path.suffix.lower() in UNREAD]:
        raise UsageError(f"images of a kind that is not read: {listed(unread)}; {expected}")
    images = [path for path in images if path.is_file()]
    if not images:
        raise UsageError(f"no images in {place}: {expected}")
    return {str(path.relative_to(place)): path for path in images}


def is_image(path: Path) -> bool:
    """Whether a file is one image, by its name."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def size(path: Path) -> tuple[int, int]:
    """(H, W) of an image, turned as its file says, from the beginning of the file."""
    with opened(path) as image:
        # That of a PNG may lie behind the pixels, which are not decoded for it.
        known = image.format != "PNG" or "exif" in image.info
        turned = known and image.getexif().get(ORIENTATION, 1) in SIDEWAYS
        return (image.width, image.height) if turned else (image.height, image.width)


def read(
    files: Mapping[str, Path],
    what: str,
    colour: Colour = "refused",
    open_file: Open = reading.opened,
) -> dict[str, np.ndarray]:
    """Images by their names, uint8 (H, W), or (H, W, 3) if colour is kept; turned as their files say.

    Types that differ are each taken by themselves.

    what       that they are of, for messages about all of them
    open_file  opens what is at a path, as a file in an archive is

    Raises UsageError, naming the file, for what has no one meaning as grey levels, and if all are
    too large.
    """
    images, total = {}, 0
    for name, path in files.items():
        with opened(path, open_file) as image:
            reading.hold(total + image.width * image.height, f"{what}, with its images so far,")
            images[name] = values(image, path, colour)
            total += images[name].nbytes
    kinds = {str(image.dtype): {} for image in images.values()}
    for name, image in images.items():
        kinds[str(image.dtype)][name] = image
    for kind in kinds.values():
        convert = levels(kind.values(), [str(files[name]) for name in kind])
        images |= {name: convert(image) for name, image in kind.items()}
    return images


def stacked(images: Mapping[str, np.ndarray]) -> np.ndarray:
    """Images of one size as one array: uint8 (N, H, W) if all are grey, (N, H, W, 3) if any kept its colour.

    Raises UsageError, naming two of them, if they have several sizes.
    """
    first = next(iter(images))
    for name, image in images.items():
        if image.shape[:2] != images[first].shape[:2]:
            sizes = ["x".join(map(str, images[each].shape[:2])) for each in (first, name)]
            raise UsageError(f"images of several sizes: {first} has {sizes[0]}, {name} {sizes[1]}")
    if all(image.ndim == 2 for image in images.values()):
        return np.stack(list(images.values()))
    return np.stack([tripled(image) if image.ndim == 2 else image for image in images.values()])


@contextmanager
def opened(path: Path, open_file: Open = reading.opened) -> Iterator[Image.Image]:
    """An image of one of FORMATS, not decoded yet, and no larger than allowed.

    Raises UsageError for anything else.
    """
    with open_file(path) as file, warnings.catch_warnings(action="ignore"):
        try:
            with Image.open(file, formats=FORMATS) as image:
                reading.hold(DECODED * image.width * image.height, str(path))
                yield image
        except (UsageError, MemoryError):
            raise
        except Exception as error:  # damaged files provoke whatever a decoder can raise
            raise UsageError(f"{path} cannot be read as an image: {reason(error)}") from None


def reason(error: Exception) -> str:
    """Why Pillow cannot read a file, in words that do not name its objects."""
    if isinstance(error, UnidentifiedImageError):
        return f"it is none of {', '.join(FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        return "it declares more pixels than any photograph has"
    if isinstance(error, OSError | ValueError) and str(error):
        return str(error)[:200]
    return in_one_line(error)[:200]


def values(image: Image.Image, path: Path, colour: Colour) -> np.ndarray:
    """An open image as its file has it: bool, uint8, uint16 or float32 (H, W); with colour kept uint8 (H, W, 3)."""
    # Where the first is the photograph.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise UsageError(f"{path} holds several images, expected one a file; save each by itself")
    depth = stored(image)
    if problem := misread(image, depth):
        raise UsageError(f"{path} {problem}; {SAVE}")
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in EIGHT_BIT:
        return eight_bit(image, path, colour)
    pixels = np.asarray(image)
    if image.mode == "F":
        return pixels
    if (clear := image.info.get("transparency")) is not None and (pixels == clear).any():
        raise transparent(path)
    return pixels.astype(np.uint16)


def stored(image: Image.Image) -> str:
    """How the values lie in the file, in Pillow's words: I;16B, RGB;16L, L."""
    arguments = image.tile[0][3] if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def misread(image: Image.Image, depth: str) -> str:
    """Why Pillow would give the values of a file otherwise than they are meant; nothing of most."""
    # Of 16 bit, whatever type they are given in.
    if image.mode == "I" and image.format in ("PNG", "PPM"):
        return ""
    if image.mode in REFUSED or image.mode not in (*EIGHT_BIT, *SIXTEEN_BIT, "F"):
        return REFUSED.get(image.mode, f"is of mode {image.mode}")
    if image.mode in EIGHT_BIT:
        return "has 16 bit a channel, of which only half could be read" if ";16" in depth else ""
    tags = getattr(image, "tag_v2", {})
    if tags.get(262) == 0:  # PhotometricInterpretation, which Pillow heeds for up to 8 bit
        return "says that 0 is white, which is not read with more than 8 bit"
    return "has 12 bit a pixel" if tags.get(258, (16,))[0] == 12 else ""  # BitsPerSample


def eight_bit(image: Image.Image, path: Path, colour: Colour) -> np.ndarray:
    """An image of up to 8 bit a channel: bool or uint8 (H, W), or (H, W, 3) if it keeps its colour."""
    if image.mode == "1" and not image.has_transparency_data:
        return np.asarray(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise transparent(path)
    if image.mode in ("1", "L") or colour == "made grey":
        return np.asarray(image.convert("L"))
    channels = np.asarray(image.convert("RGB"))
    return channels if colour == "kept" else grey(channels, path)
