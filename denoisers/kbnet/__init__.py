"""A restoration prior: KBNet, which learnt to remove noise from images and knows nothing of diffusion."""

from pathlib import Path

import torch
from torch import Tensor

from denoisers import layouts, reading
from denoisers import weights as weights_
from denoisers.base import Spec
from denoisers.errors import UsageError
from denoisers.kbnet.net import KBNet
from denoisers.wrappers import ResidualDenoiser, split_band

FOLDER = Path(__file__).parent


def load(
    weights: str | None = None,
    coupling: str = "ve",
    sigma_255: str | None = None,
    size: str | None = None,
) -> ResidualDenoiser:
    """A KBNet with the weights of a card or file; None for `gray-blind50`, natural photographs, sigma up to 50/255.

    coupling   how the network is called: see `wrappers.COUPLINGS`
    sigma_255  noise band in grey levels, "25" or "0-50", of a file that has no card to say it
    size       of the images that it was trained on, if it matters: 28, 28x20 (rows first) or any

    Raises UsageError: weights that are missing, altered, or of another network.
    """
    state, card = weights_.load(weights, FOLDER, default="gray-blind50")
    state = layouts.rooted(state, ["intro.weight", "encoders.0.0.w"]) or state
    with reading.building(card["name"]):
        net = KBNet(**shape_of(state, card["name"]))
    weights_.load_into(net, state, card["name"])
    spec = Spec(
        "kbnet",
        "sample",
        in_channels=net.intro.in_channels,
        value_range=(0.0, 1.0),
        **split_band(weights_.band(card, sigma_255), net.intro.in_channels),
        weights=weights_.tag(card),
        size=weights_.size(card, size),
    )
    denoiser = ResidualDenoiser(net.to(memory_format=torch.channels_last), spec, coupling)
    denoiser.card = card
    return denoiser


def shape_of(state: dict[str, Tensor], path: str) -> dict[str, object]:
    """The arguments of KBNet that its parameters were made with.

    Raises UsageError for another network's parameters.
    """

    def blocks(prefix: str) -> int:
        return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})

    def stages(prefix: str) -> tuple[int, ...]:
        return tuple(blocks(f"{prefix}{level}.") for level in range(blocks(prefix)))

    try:
        width, channels = state["intro.weight"].shape[:2]
        bases, taps = state["encoders.0.0.w"].shape[1:]
        return {
            "channels": channels,
            "width": width,
            "encoder": stages("encoders."),
            "middle": blocks("middle_blks."),
            "decoder": stages("decoders."),
            "bases": bases,
            "group": taps // (9 * width),
            "ffn_scale": len(state["encoders.0.0.conv4.weight"]) / width,
            "lightweight": state["encoders.0.0.conv11.1.weight"].shape[-1] == 3,
        }
    except KeyError as error:
        raise UsageError(
            f"{path} holds no KBNet_s: expected its parameters, but {error} is missing; "
            f"{layouts.keys(state)}"
        ) from None
    except (ArithmeticError, IndexError, TypeError, ValueError):
        raise UsageError(f"{path} holds no KBNet_s: its parameters have other shapes") from None
