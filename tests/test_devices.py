"""What has no float64 computes elsewhere; a GPU gets larger pieces."""

import numpy as np
import torch

from bench.scoring import devices


def test_a_device_without_float64_leaves_it_to_the_cpu():
    assert devices.place("mps") == torch.device("cpu")
    assert devices.place("cuda:1") == torch.device("cuda:1")
    found = devices.doubles(np.arange(3, dtype="f4"), "mps")
    assert (found.dtype, found.device.type) == (torch.float64, "cpu")


def test_pieces_are_as_large_as_the_device_likes():
    assert devices.room(10, torch.device("cpu")) == 10
    assert devices.room(10, torch.device("cuda")) == devices.ON_GPU > 10**6
