"""The reference prior: a U-Net that predicts eps, trained on MNIST, or by its card on other images."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from denoisers import schedule
from denoisers import weights as weights_
from denoisers.base import Spec
from denoisers.unet.net import UNet
from denoisers.wrappers import VPDenoiser

FOLDER = Path(__file__).parent


def load(weights: str | None = None) -> VPDenoiser:
    """The U-Net with the weights of a card or file; None for `mnist`, all 60 000 training digits."""
    state, card = weights_.load(weights, FOLDER, default="mnist")
    net = UNet(**shape_of(state))
    weights_.load_into(net, state, card["name"])
    abar = schedule.alphas_cumprod(schedule.linear_betas())
    spec = Spec("unet", "epsilon", net.images, multiple_of=8, weights=weights_.tag(card))
    denoiser = VPDenoiser(net.to(memory_format=torch.channels_last), abar, spec)
    denoiser.card = card
    return denoiser


def shape_of(state: dict[str, Tensor]) -> dict[str, Any]:
    """The blocks of each level of the network in a state dict, which have attention, and the channels of its images."""
    blocks = [set() for _ in UNet().down]
    attention = [False] * len(blocks)
    for key in state:
        if match := re.search(r"(?:^|\.)down\.([0-2])\.(blocks|attention)\.(\w+)", key):
            level = int(match[1])
            if match[2] == "blocks":
                blocks[level].add(match[3])
            else:
                attention[level] = True
    first = next((x for key, x in state.items() if key.endswith("conv_in.weight")), None)
    return {
        "blocks": tuple(max(1, len(names)) for names in blocks),
        "attention": tuple(attention),
        "images": 1
        if first is None or first.ndim < 2
        else max(1, first.shape[1] // UNet().patch ** 2),
    }
