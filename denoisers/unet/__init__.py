"""The reference prior: a U-Net that predicts eps, trained on MNIST."""

from pathlib import Path

import torch

from denoisers import schedule
from denoisers import weights as weights_
from denoisers.base import Spec
from denoisers.unet.net import UNet
from denoisers.wrappers import VPDenoiser

FOLDER = Path(__file__).parent


def load(weights: str | None = None) -> VPDenoiser:
    """The U-Net with the weights of a card or file; None for `mnist`, all 60 000 training digits."""
    state, card = weights_.load(weights, FOLDER, default="mnist")
    net = UNet()
    weights_.load_into(net, state, card["name"])
    abar = schedule.alphas_cumprod(schedule.linear_betas())
    spec = Spec("unet", "epsilon", multiple_of=8, weights=weights_.tag(card))
    denoiser = VPDenoiser(net.to(memory_format=torch.channels_last), abar, spec)
    denoiser.card = card
    return denoiser
