"""FFDNet: a small restoration network that is told the noise level, on half-size images.

Zhang, Zuo & Zhang 2018, "FFDNet: Toward a fast and flexible solution for CNN based image denoising"
(arXiv 1710.04026). No weights are shipped.
"""

import itertools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisers import layouts, reading
from denoisers import weights as weights_
from denoisers.base import Spec
from denoisers.errors import UsageError
from denoisers.wrappers import ResidualDenoiser, split_band


class FFDNet(nn.Module):
    """Section 3: unshuffle by 2, append a map of the noise level, 3 x 3 convolutions, shuffle back.

    channels  of the image; width, depth  of the convolutions (64 and 15 for grey, 96 and 12 for
              colour images)
    """

    def __init__(self, channels: int = 1, width: int = 64, depth: int = 15) -> None:
        super().__init__()
        ends = [4 * channels + 1, *[width] * (depth - 1), 4 * channels]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(ends):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        self.model = nn.Sequential(*layers[:-1])

    def forward(self, image: Tensor, level: Tensor) -> Tensor:
        """image (B, C, H, W) with even H and W, level (B,) in the image's unit; returns the clean image."""
        halves = F.pixel_unshuffle(image, 2)
        noise_map = level.to(image).reshape(-1, 1, 1, 1).expand(-1, 1, *halves.shape[-2:])
        return F.pixel_shuffle(self.model(torch.cat([halves, noise_map], 1)), 2)


def load(
    weights: str, sigma_255: str | None = None, coupling: str = "ve", size: str | None = None
) -> ResidualDenoiser:
    """A file with an FFDNet, as its authors publish them, grey or colour, without batch normalisation.

    sigma_255  noise band in grey levels, such as "0-75", unless a card beside the file says it
    coupling   how the network is called: see `wrappers.COUPLINGS`
    size       of the images that it was trained on, if it matters: 28, 28x20 (rows first) or any

    Raises UsageError: weights that are missing, altered, or of another network.
    """
    state, card = weights_.read(Path(weights))
    state = layouts.rooted(state, ["model.0.weight"]) or state
    convolutions = [
        value for key, value in state.items() if key.startswith("model.") and value.ndim == 4
    ]
    if not convolutions or convolutions[0].shape[1] not in (5, 13):
        raise UsageError(
            f"{weights} holds no FFDNet: expected a first convolution of 5 maps (grey) or 13 (colour); "
            f"{layouts.keys(state)}"
        )
    channels, width = convolutions[0].shape[1] // 4, len(convolutions[0])
    with reading.building(weights):
        net = FFDNet(channels, width, len(convolutions))
    weights_.load_into(net, state, str(weights))
    spec = Spec(
        "ffdnet",
        "sample",
        in_channels=channels,
        multiple_of=2,
        value_range=(0.0, 1.0),
        **split_band(weights_.band(card, sigma_255), channels),
        blind=False,
        weights=weights_.tag(card),
        size=weights_.size(card, size),
    )
    denoiser = ResidualDenoiser(net.to(memory_format=torch.channels_last), spec, coupling)
    denoiser.card = card
    return denoiser
