"""Feature networks for natural images: `cifar-a` and `cifar-b`, trained independently, in colour and in grey."""

from pathlib import Path

import torch

from bench.scoring.resnet.net import ResNet, in_grey, seen
from denoisers import weights as weights_

FOLDER = Path(__file__).parent
# What becomes of an image before and in the network, in words that digests depend on.
PREPARED = "resized as a whole to 32 x 32, bilinear, antialiased; grey in three channels; mean with the mirror image"
__all__ = ["FOLDER", "PREPARED", "ResNet", "in_grey", "load", "seen"]


def load(name: str) -> tuple[ResNet, dict]:
    """The classifier of a shipped card or a file, in eval mode with channels last, and its card."""
    state, card = weights_.load(name, FOLDER, default=name)
    head = state.get("head.weight")
    net = ResNet(10 if head is None else len(head))
    weights_.load_into(net, state, name)
    return net.eval().to(memory_format=torch.channels_last), card
