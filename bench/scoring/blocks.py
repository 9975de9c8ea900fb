"""How many numbers a step of a large computation holds: what a CPU's caches like, and more on a GPU."""

import torch

ON_GPU = 2**27  # 0.5 GB of float32: few and large pieces of work


def room(cells: int, device: torch.device) -> int:
    """Numbers to hold at once on a device, where `cells` are good for a CPU."""
    return cells if device.type == "cpu" else ON_GPU
