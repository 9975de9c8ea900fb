"""Feature networks for FID and KID on digits: `lenet-a` and `lenet-b`, trained independently."""

from pathlib import Path

import torch

from bench.scoring.lenet.net import LeNet
from denoisers import weights as weights_

FOLDER = Path(__file__).parent
PREPARED = ""  # nothing is done to digits


def load(name: str) -> tuple[LeNet, dict]:
    """The shipped classifier called `name`, in eval mode with channels last (twice as fast), and its card."""
    state, card = weights_.load(name, FOLDER, default=name)
    net = LeNet()
    weights_.load_into(net, state, name)
    return net.eval().to(memory_format=torch.channels_last), card
