"""Precision, recall, density and coverage: how two feature sets overlap, by balls around their points.

The ball of a point reaches to its k-th nearest neighbour in its own set. Points on the rim are
inside, so that identical sets overlap wholly even where points coincide.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.scoring.devices import doubles, room
from bench.scoring.uncertainty import Statistic

K_PRECISION = 3  # Kynkaanniemi et al. 2019 (arXiv 1904.06991)
K_DENSITY = 5  # Naeem et al. 2020 (arXiv 2002.09797)
BLOCK = 2**23  # distances held at once; 64 MB on a CPU
SLACK = 1e-12  # of the squared norms: the rounding of a squared distance


class Balls(NamedTuple):
    """Points (N, d) and the squared radius of the ball around each for both k, float64 (N,)."""

    points: np.ndarray
    precision: np.ndarray
    density: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, device: str = "cpu") -> "Balls":
        """From (N, d), N >= 6; on a device, or on the CPU if it knows no float64."""
        if len(features) <= K_DENSITY:
            raise ValueError(
                f"precision, recall, density and coverage need at least {K_DENSITY + 1} images a side; "
                f"found {len(features)} (--num)"
            )
        x = doubles(features, device)
        nearest = [
            block.topk(K_DENSITY + 1, largest=False).values for block in squared_distances(x, x)
        ]
        sorted_ = torch.cat(nearest).cpu().numpy()  # the first is the point itself
        return cls(features, sorted_[:, K_PRECISION].clip(min=0), sorted_[:, K_DENSITY].clip(min=0))


def overlap(real: Balls, generated: Balls, device: str = "cpu") -> dict[str, Statistic]:
    """The four numbers, and how the generated points move them, given the real ones.

    By simulation the error of recall is 1.1 to 1.5 times, that of coverage 1.4 to 1.8 times what it
    should be: to leave out a point costs its ball, which another point drawn in its place would
    have closed.

    precision  share of generated points inside a real ball
    recall     share of real points inside a generated ball
    density    number of real balls that hold a generated point, over k, mean
    coverage   share of real balls that hold a generated point
    """
    x, y = (doubles(balls.points, device) for balls in (generated, real))
    slack = SLACK * (x.square().sum(1).max() + y.square().sum(1).max())
    radii = [doubles(r, device) for r in (real.precision, real.density, generated.precision)]
    in_real, in_dense, in_generated = [], [], []
    start = 0
    for block in squared_distances(x, y):
        own = radii[2][start : start + len(block), None]
        in_real.append((block <= radii[0] + slack).any(1))
        in_dense.append(block <= radii[1] + slack)
        in_generated.append(block <= own + slack)
        start += len(block)
    held = torch.cat([block.sum(1) for block in in_dense])
    return {
        "precision": Statistic.mean(torch.cat(in_real).cpu().numpy()),
        "recall": hit(in_generated),
        "density": Statistic.mean(held.cpu().numpy() / K_DENSITY),
        "coverage": hit(in_dense),
    }


def hit(inside: list[Tensor]) -> Statistic:
    """Share of columns of bool (N, M) that a row hits; without a row, those are lost that it alone hits.

    inside  in blocks of rows
    """
    number = sum(block.sum(0) for block in inside)
    alone = torch.cat([(block & (number == 1)).sum(1) for block in inside]).cpu().numpy()
    alone = alone * (len(alone) - 1) / len(number)
    return Statistic(float((number > 0).double().mean()), alone - alone.mean())


def squared_distances(x: Tensor, y: Tensor) -> Iterator[Tensor]:
    """Between all rows of (N, d) and (M, d), in blocks of rows, float64."""
    own = y.square().sum(1)
    for block in x.split(max(1, room(BLOCK, x.device) // len(y))):
        yield torch.addmm(own, block, y.T, alpha=-2).add_(block.square().sum(1, keepdim=True))
