"""The one reader of images, of files and arrays: the grey levels that are meant, or a refusal.

What holds for a file holds for an array of the same kind: see `levels` for the types,
`grey` for the channels, `values` for the modes of files.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bench import folders
from denoisers import reading
from denoisers.errors import UsageError, in_one_line, listed
from denoisers.units import GREY

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
LEVEL = 0.5 / 255  # that floats may lie outside their range: they are rounded to it
# Above it floats that reach 255 are grey levels; what only just leaves [0, 1] was not clipped.
BRIGHT = 127
ROUNDING = 1  # grey levels between equal channels, after a lossy format has mixed and unmixed them
PIXELS = 2**22  # of an array that are looked at or converted at once

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
    """(H, W) of an image as it is stored, from the beginning of its file."""
    with opened(path) as image:
        return image.height, image.width


def read(files: Mapping[str, Path], what: str, *, colour: bool = False) -> dict[str, np.ndarray]:
    """Images by their names, uint8 (H, W), turned as their files say.

    Types that differ are each taken by themselves.

    what    that they are of, for messages about all of them
    colour  make colour grey (ITU-R 601 luma) instead of refusing it

    Raises UsageError, naming the file, for what has no one meaning as grey levels, and if all are
    too large.
    """
    images, total = {}, 0
    for name, path in files.items():
        with opened(path) as image:
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


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image of one of FORMATS, not decoded yet, and no larger than allowed.

    Raises UsageError for anything else.
    """
    with reading.opened(path) as file, warnings.catch_warnings(action="ignore"):
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


def values(image: Image.Image, path: Path, colour: bool) -> np.ndarray:
    """One channel of an open image, (H, W), as its file has it: bool, uint8, uint16 or float32."""
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


def eight_bit(image: Image.Image, path: Path, colour: bool) -> np.ndarray:
    """One channel of an image of up to 8 bit a channel: bool or uint8 (H, W)."""
    if image.mode == "1" and not image.has_transparency_data:
        return np.asarray(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise transparent(path)
    if image.mode in ("1", "L") or colour:
        return np.asarray(image.convert("L"))
    return grey(np.asarray(image.convert("RGB")), path)


def transparent(path: Path) -> UsageError:
    """The error for an image that can be seen through: what would be seen is not in the file."""
    return UsageError(
        f"{path} is transparent in places, and nobody knows on what; "
        "flatten it onto the ground it needs"
    )


def grey(channels: np.ndarray, path: Path) -> np.ndarray:
    """One channel of uint8 images (..., C): grey, or three of colour, each with or without alpha.

    Alpha must be opaque, colours equal but for rounding. Raises UsageError.
    """
    count = channels.shape[-1]
    if count in (2, 4):
        if (channels[..., -1] != 255).any():
            raise transparent(path)
        channels = channels[..., :-1]
    if count < 3:
        return channels[..., 0]
    if (channels.max(-1) - channels.min(-1) > ROUNDING).any():
        raise UsageError(
            f"{path} holds colour images, expected grey ones or three equal channels; "
            "make them grey"
        )
    rows = np.ascontiguousarray(channels).reshape(-1, channels.shape[-2], 3)
    return np.asarray(Image.fromarray(rows).convert("L")).reshape(channels.shape[:-1])


def levels(parts: Iterable[np.ndarray], names: list[str]) -> Callable[[np.ndarray], np.ndarray]:
    """What makes grey levels, uint8, of the values of one set, in parts that are all of one type.

    bool     black and white
    uint8    as they are
    uint16   white is 65535; rounded to the nearest level, so that 257 v is v
    floats   in [0, 1]; in [-1, 1] if one is below -0.5; in [0, 255] if one is above 127; rounded

    names  of the parts, or one for all of them

    Raises UsageError, naming the part, for values outside these ranges, not finite or of another
    type.
    """
    ranges = [span(part, names[min(i, len(names) - 1)]) for i, part in enumerate(parts)]
    low, _, lowest, kind = min(ranges, key=itemgetter(0))
    _, high, highest, _ = max(ranges, key=itemgetter(1))
    if kind is np.bool_:
        return lambda part: part.astype(np.uint8) * np.uint8(255)
    if kind is np.uint8:
        return lambda part: part
    if kind is np.uint16:
        if 0 < high <= 255:
            raise UsageError(
                f"{highest} holds 16-bit values up to {high:.0f}, where white is 65535: "
                "all but black; save them as 8 bit, or times 257"
            )
        return lambda part: ((part.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if low < -0.5 and low >= -1 - LEVEL and high <= 1 + LEVEL:
        scale, shift = GREY, GREY
    elif low >= -LEVEL and high <= 1 + LEVEL:
        scale, shift = 255.0, 0.0
    elif low >= -0.5 and BRIGHT < high <= 255.5:
        scale, shift = 1.0, 0.0
    else:
        which = highest if high > 1 + LEVEL and low >= -1 - LEVEL else lowest
        raise UsageError(
            f"{which} holds floats from {low:.4g} to {high:.4g}, "
            "expected [0, 1], [-1, 1] or [0, 255], or uint8; clip or scale them before they are saved"
        )

    def rounded(part: np.ndarray) -> np.ndarray:
        grey_levels = part.astype(np.float64) * scale + shift
        return grey_levels.round().clip(0, 255).astype(np.uint8)

    return rounded


Span = tuple[float, float, str, type]


def span(part: np.ndarray, name: str) -> Span:
    """Lowest and highest value of a part, with its name and type.

    Raises UsageError if it cannot be grey levels.
    """
    check_type(part.dtype, name)
    if np.issubdtype(part.dtype, np.floating) and (bad := int((~np.isfinite(part)).sum())):
        raise UsageError(f"{name} holds {bad} values that are not finite numbers")
    return float(part.min()), float(part.max()), name, part.dtype.type


def check_type(dtype: np.dtype, name: str) -> None:
    """Raise UsageError for values that cannot be grey levels."""
    if dtype.type not in (np.bool_, np.uint8, np.uint16) and not np.issubdtype(dtype, np.floating):
        raise UsageError(
            f"{name} holds {dtype}, expected uint8, uint16, bool or floats; cast levels to uint8"
        )


def blocks(images: np.ndarray) -> Iterator[np.ndarray]:
    """A few images after the other: float64 values of all of them might not fit into memory."""
    count = max(1, PIXELS // max(1, math.prod(images.shape[1:])))
    return (images[i : i + count] for i in range(0, len(images), count))
