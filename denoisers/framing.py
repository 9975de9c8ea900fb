"""The size of the images that a network was trained on, against that of those it is given.

A dataset's images are asked about in a frame of black pixels: digits of 28 x 28 as the middle of 32
x 32. A network that was trained on something else says so by `Spec.size`, and the wrappers cut or
continue the images for it.
"""

import copy
import dataclasses
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from denoisers.base import Denoiser, Spec
from denoisers.errors import UsageError, in_one_line
from denoisers.splice import Splice
from denoisers.wrappers import sized

Size = tuple[int, int]  # (H, W)


class Seated(Denoiser):
    """A denoiser that is asked about images of `size`, whatever comes; around them all is black."""

    def __init__(self, denoiser: Denoiser, size: Size) -> None:
        super().__init__()
        self.net, self.card = denoiser, denoiser.card
        self.spec = dataclasses.replace(denoiser.spec, size=size)
        self.training = denoiser.training

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return sized(self.spec.size, self.net, x, sigma)


def unsized(denoiser: Denoiser) -> Denoiser:
    """The denoiser with the same network, asked about images as they come."""
    if denoiser.spec.size is None:
        return denoiser
    again = copy.copy(denoiser)
    again.spec = dataclasses.replace(denoiser.spec, size=None)
    return again


def by(size: Size) -> str:
    """In words, as in: 28 x 28."""
    return f"{size[0]} x {size[1]}"


def declare(size: Size) -> str:
    """What to write for a network that was trained on images of `size`."""
    short = size[0] if size[0] == size[1] else f"{size[0]}x{size[1]}"
    return f"Spec(size={size}), or --option size={short} for a checkpoint"


def refusal(denoiser: Denoiser, x: Tensor, sigma: Tensor) -> str:
    """What a denoiser raises when it is asked about x; nothing if it answers."""
    try:
        denoiser(x.clone(), sigma)
    except (Exception, SystemExit) as error:
        return in_one_line(error)
    return ""


def against(spec: Spec, size: Size, pad: int = 0) -> list[str]:
    """Sentences about the size that a denoiser declares, if images of `size` in a frame are not of it.

    Raises UsageError if they are larger than those it was trained on.
    """
    framed, lines = with_frame(size, pad), []
    for part in spec.parts():
        trained = part.size or framed
        if trained[0] < size[0] or trained[1] < size[1]:
            raise UsageError(
                f"{part.name} is declared to be trained on images of {by(trained)}; "
                f"these are of {by(size)}, and would lose what does not fit"
            )
        if trained[0] > framed[0] or trained[1] > framed[1]:
            times = trained[0] * trained[1] / (framed[0] * framed[1])
            lines.append(
                f"{part.name} was trained on images of {by(trained)}: "
                f"it gets those of {by(size)} as the middle of one, black around them, "
                f"{times:.2g} times the pixels of {by(framed)}; if it was trained on anything else "
                "of that size, its scores say nothing of it (--option size=any asks it as it is)"
            )
    return lines


@torch.no_grad()  # not inference_mode: a denoiser may be the gradient of something
def fit(
    denoiser: Denoiser, size: Size, pad: int, device: str = "cpu", channels: int = 1
) -> list[str]:
    """`against`, of a denoiser that is asked whether it takes such images, before the first of them.

    Raises UsageError if it takes those of another size only, and does not say so; or those in grey
    only, where there are more channels.
    """
    lines, framed = against(denoiser.spec, size, pad), with_frame(size, pad)
    trained = denoiser.spec.size or framed
    black = torch.full((1, channels, *framed), -1.0, device=device)
    for level in (0.01, 157.0):  # a splice has a part for each
        sigma = torch.tensor(level, device=device)
        why = refusal(denoiser, black, sigma)
        if why and channels > 1 and not refusal(denoiser, black[:, :1], sigma):
            raise UsageError(
                f"{denoiser.spec.name} takes images in grey, and these have {channels} channels "
                f"({why}); choose weights for images in colour, or another --dataset"
            )
        for other in {size, framed} - {trained} if why else ():
            if not refusal(Seated(unsized(denoiser), other), black, sigma):
                raise UsageError(
                    f"{denoiser.spec.name} takes images of {by(other)}, and not of {by(trained)}, "
                    f"about which it would be asked ({why}); declare {declare(other)}; `bench check` tells"
                )
    return lines


def with_frame(size: Size, pad: int) -> Size:
    """The size with its frame."""
    return size[0] + 2 * pad, size[1] + 2 * pad


def banded(denoiser: Denoiser, channels: int) -> Denoiser:
    """The denoiser with the noise band of its own channels, where images have as many.

    A spec says the band of grey images, which enter a network of n channels with sqrt(n) times
    their noise: see `wrappers.split_noise`.
    """
    if isinstance(denoiser, Splice):
        parts = (banded(part, channels) for part in (denoiser.above, denoiser.below))
        return Splice(*parts, denoiser.switch)
    spec = denoiser.spec
    if channels > 1 and spec.in_channels == channels:
        more = channels**0.5
        denoiser = copy.copy(denoiser)
        band = {"sigma_min": more * spec.sigma_min, "sigma_max": more * spec.sigma_max}
        denoiser.spec = dataclasses.replace(spec, **band)
    return denoiser


def largest(images: Iterable[np.ndarray]) -> Size:
    """The size that holds all of the images (H, W)."""
    heights, widths = zip(*(image.shape for image in images), strict=True)
    return max(heights), max(widths)
