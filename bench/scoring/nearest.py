"""Exact nearest neighbours, found fast: a lower bound on every distance leaves few candidates to measure.

In an orthonormal basis of few directions, with p the projection of a vector and r the norm of what
is left of it, |q - x|^2 >= |p_q - p_x|^2 + (r_q - r_x)^2: one matrix product of that many columns
bounds all distances from below. The candidates with the smallest bounds are measured in float64;
where the next bound does not exceed the distance found, all points are.

A query may come in several variants (the shifts of an image); its distance is that of the nearest.
There the search ends with MOST candidates: it is exact for whatever is near to a point, and an
upper bound for what is far from all.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.images import as_tensor
from bench.scoring import devices, scratch

VERSION = 3  # raise it when results change: some are cached
DIRECTIONS = 128  # of the basis; fewer leave more candidates, more cost more per bound
BASIS_ROWS = 5000  # points that the basis is fitted to; any basis gives the same neighbours
SPARE = 4  # measured in float64 beyond the k nearest in float32
MOST = 1024  # candidates of a query in variants
HELD = 2**30  # bytes of points that are copied: 60 000 digits take a fifth
CELLS = 2**24  # of bounds, and of vectors to be measured, held at once; 64 and 128 MB on a CPU
TILE = 2**18  # bounds of variants held at once, of which one each is kept: 1 MB stays in a cache
WIDE = 1024  # columns up to which the basis is that of a covariance
SLACK = 1e-5  # of the squared norms: beyond what float32 rounds in a bound


class Neighbours(NamedTuple):
    """The k nearest points of N queries, by rising distance: index int64 (N, k), distance float64 (N, k)."""

    index: np.ndarray
    distance: np.ndarray


@dataclasses.dataclass(frozen=True)
class Index:
    """Points (M, D) and what bounds the distance to them.

    points   float32, less `shift`; more than HELD bytes of them stay where and as they were, uint8 or float32
    shift    float32 (D,), whole numbers: points less these are small, and grey levels stay exact
    basis    float32 (D, d), orthonormal columns
    columns  float32 (M, d + 3), so that rows(q) @ columns.T is minus half the bound
    """

    points: Tensor
    shift: Tensor
    norms: Tensor  # float64 (M,), squared, of points less their shift
    mean: Tensor
    basis: Tensor
    columns: Tensor
    held: bool

    @classmethod
    def of(cls, points: np.ndarray, device: str = "cpu") -> "Index":
        """From (M, D), M >= 2: grey levels (distances are then exact) or features.

        device  that searches; the CPU in place of one without float64
        """
        kind = np.uint8 if points.dtype == np.uint8 else np.float32
        x = as_tensor(np.ascontiguousarray(points, kind))
        x = x.to(devices.place(device))
        blocks = x.split(BASIS_ROWS)
        shift = (sum(block.double().sum(0) for block in blocks) / len(x)).round().float()
        fitted = x[:: max(1, len(x) // BASIS_ROWS)].float() - shift
        mean = fitted.mean(0)
        basis = principal(fitted, DIRECTIONS).float()
        norms = x.new_empty(len(x), dtype=torch.float64)
        columns = x.new_empty(len(x), basis.shape[1] + 3, dtype=torch.float32)
        columns[:, -1] = 1
        for block, norm, column in zip(
            blocks, norms.split(BASIS_ROWS), columns.split(BASIS_ROWS), strict=True
        ):
            small = block.float() - shift
            norm[:] = small.double().square().sum(1)
            column[:, :-2], half = projected(small - mean, basis)
            column[:, -2] = -half[:, 0]
        held = 4 * x.numel() <= HELD
        return cls(x.float() - shift if held else x, shift, norms, mean, basis, columns, held)

    def original(self, chosen: np.ndarray) -> np.ndarray:
        """The points with those indices (N,), as they were given: (N, D)."""
        points = self.points[torch.from_numpy(chosen)]
        return (points + self.shift if self.held else points).cpu().numpy()

    def alone(self, chosen: np.ndarray) -> np.ndarray:
        """Distance of the points with those indices (N,) to the nearest other one, (N,)."""
        return self.nearest(self.original(chosen), 1, own=chosen).distance[:, 0]

    def block_size(self, variants: int) -> int:
        """Queries, each in so many variants, that are compared at once, as CELLS bounds are held."""
        return max(1, self.room(CELLS) // (len(self.points) * variants))

    def nearest(self, queries: np.ndarray, k: int, *, own: np.ndarray | None = None) -> Neighbours:
        """The k nearest points of (N, D), or of (N, S, D), S variants each.

        own  (N,), the index of each query among the points, if it is one of them: it is then no
             neighbour of itself
        """
        if own is not None:
            return without(self.nearest(queries, k + 1), own)
        if not k <= len(self.points):
            raise ValueError(f"{k} neighbours need as many points; found {len(self.points)}")
        queries = queries.reshape(len(queries), -1, self.points.shape[1])
        size = self.block_size(queries.shape[1])
        blocks = (
            torch.from_numpy(queries[i : i + size]).to(self.points.device).float() - self.shift
            for i in range(0, len(queries), size)
        )
        found = zip(*(self.block(block, k) for block in blocks), strict=True)
        index, squared = (torch.cat(parts).cpu().numpy() for parts in found)
        # By numpy, which rounds as IEEE 754 has it: torch's root of some numbers is another on a CPU.
        return Neighbours(index, np.sqrt(squared))

    def room(self, cells: int) -> int:
        """As many, or more where the points lie on a GPU."""
        return devices.room(cells, self.points.device)

    def block(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """`nearest` with squared distances, for as many (B, S, D) as the bounds of all points fit into memory for."""
        bounds, slack = self.bounds(queries)
        index = bounds.new_empty(len(queries), k, dtype=torch.int64)
        squared = bounds.new_empty(len(queries), k, dtype=torch.float64)
        left = torch.arange(len(queries), device=bounds.device)
        one, few = queries.shape[1] == 1, 24 + 4 * k
        for count in (few,) if one else (few, MOST // 4, MOST):
            smallest = bounds[left].topk(min(count, len(self.points)))
            index[left], squared[left] = self.measured(queries[left], smallest.indices, k)
            # Nothing unmeasured is nearer than this.
            beyond = -2 * smallest.values[:, -1].double() - slack[left]
            left = left[(squared[left, -1] > beyond) & (count < len(self.points))]
        if one and len(left):
            index[left], squared[left] = self.brute(queries[left], k)
        return index, squared.clamp(min=0)

    def small(self, points: Tensor) -> Tensor:
        """Points less their shift, float32."""
        return points if self.held else points.float() - self.shift

    def brute(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """`measured` for (B, 1, D) with all points as candidates: for queries unlike any, whose bounds say little."""
        products = [queries[:, 0] @ self.small(part).T for part in self.points.split(BASIS_ROWS)]
        rough = self.norms.float() - 2 * torch.cat(products, 1)
        return self.measured(
            queries, rough.topk(min(k + SPARE, rough.shape[1]), largest=False).indices, k
        )

    def bounds(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Minus half the lower bound on the squared distance of (B, S, D) to every point, (B, M); its slack (B,)."""
        bounding, half = projected(queries.flatten(0, 1) - self.mean, self.basis)
        rows = torch.cat([bounding, torch.ones_like(half), -half], 1)
        # Variants in tiles, as only the best of each query is kept.
        size = len(self.columns) if queries.shape[1] == 1 else self.room(TILE) // len(rows)
        tiles = self.columns.split(max(1, size))
        best = torch.cat(
            [(rows @ tile.T).view(*queries.shape[:2], -1).amax(1) for tile in tiles], 1
        )
        largest = half.view(queries.shape[:2]).amax(1) - self.columns[:, -2].min()
        return best, SLACK * largest.double()

    def measured(self, queries: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k nearest of the candidates (B, m) of (B, S, D): index (B, k), squared distance (B, k).

        All of them in float32 first; what may be among the k then in float64, where grey levels are
        not rounded.
        """
        size = max(1, self.room(CELLS) // (candidates.shape[1] * queries.shape[2]))
        parts = []
        for query, chosen in zip(queries.split(size), candidates.split(size), strict=True):
            rough = self.squared(query, chosen)
            places = rough.topk(
                min(k + SPARE, chosen.shape[1]), largest=False, sorted=False
            ).indices
            few = chosen.gather(1, places)
            values, places = self.squared(query.double(), few).topk(k, largest=False)
            parts.append((few.gather(1, places), values))
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))

    def squared(self, queries: Tensor, chosen: Tensor) -> Tensor:
        """Squared distances of (B, S, D) to the points `chosen` (B, m), the smallest over S: (B, m), in their dtype."""
        points = self.small(self.points[chosen]).to(queries.dtype)
        own = queries.square().sum(2)[..., None]
        theirs = self.norms[chosen].to(queries.dtype)
        found = theirs + torch.baddbmm(own, queries, points.mT, alpha=-2).amin(1)
        # Equal vectors differ by rounding.
        return found.where(found > torch.finfo(found.dtype).eps * 16 * theirs, 0)


def principal(x: Tensor, count: int) -> Tensor:
    """Orthonormal directions of the largest variance of rows (N, D), float64 (D, count or fewer).

    Of many columns, those of the first rows alone: any basis will do, and this takes a hundredth of
    the time.
    """
    if x.shape[1] <= WIDE:
        return torch.linalg.eigh(torch.cov(x.T.double()))[1].flip(1)[:, :count]
    few = x[:: -(-len(x) // WIDE)].double()
    return torch.linalg.svd(few - few.mean(0), full_matrices=False)[2][:count].T


def projected(x: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates of (N, D) and the norm of what is left, (N, d + 1); half the squared norm, (N, 1)."""
    coordinates, squared = x @ basis, x.square().sum(1, keepdim=True)
    rest = (squared - coordinates.square().sum(1, keepdim=True)).clamp(min=0).sqrt()
    return torch.cat([coordinates, rest], 1), squared / 2


def without(neighbours: Neighbours, own: np.ndarray) -> Neighbours:
    """Each row without `own` (N,); without its last, where so many others are as near that `own` is not among them."""
    keep = neighbours.index != own[:, None]
    keep[keep.all(1), -1] = False
    shape = len(own), -1
    return Neighbours(
        neighbours.index[keep].reshape(shape), neighbours.distance[keep].reshape(shape)
    )


def of_few(centres: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Which of a few centres (K, d) each of rows (N, d) is nearest to, int64 (N,)."""
    half = np.square(centres).sum(1) / 2
    return np.concatenate(
        [(half - rows[part] @ centres.T).argmin(1) for part in scratch.blocks(rows)]
    )


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; those of length 0 as they are."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)
