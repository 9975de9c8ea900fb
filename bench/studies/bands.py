"""Where along the noise a denoiser fails: what each band costs, where the costly one begins and ends, and in words.

A denoiser X is put in the place of a reference R below a level s, or above it. cost(X below s) is
how much KID rises by that, cost(X above s) likewise; with X at all levels it is the excess. What a
band between two levels carries is the mean of what it adds when X is extended from below, and when
it is extended from above: Shapley's value of the two orders.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bench.scoring import uncertainty

# A cost is negligible below what separates two honest sets of digits, and below this share of the excess.
SHARE = 0.1
MOST = 2 / 3  # of the excess, that the bands carry in which it is said to be lost


class Cost(NamedTuple):
    """A difference of KID with its bootstrap values, float64 (R,)."""

    value: float
    drawn: np.ndarray

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval."""
        return uncertainty.basic(self.value, self.drawn)

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.value + other.value, self.drawn + other.drawn)

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.value - other.value, self.drawn - other.drawn)

    def half(self) -> "Cost":
        """Divided by two."""
        return Cost(self.value / 2, self.drawn / 2)


@dataclasses.dataclass(frozen=True)
class Costs:
    """What a denoiser costs in the place of a reference.

    levels  rising
    below   of each level: the denoiser at it and below, the reference above
    above   of each level: the denoiser above it, the reference at it and below
    excess  the denoiser at all levels
    margin  what separates two honest sets of digits of this size by chance
    """

    levels: Sequence[float]
    below: Mapping[float, Cost]
    above: Mapping[float, Cost]
    excess: Cost
    margin: float

    @property
    def negligible(self) -> float:
        """What a half may cost and still be called as good as the reference."""
        return min(self.margin, SHARE * self.excess.value)

    def bands(self) -> list[tuple[float, float]]:
        """(above, up to) of each band between two levels; the first begins at 0, the last has no end."""
        return list(zip([0.0, *self.levels], [*self.levels, math.inf], strict=True))

    def carried(self, low: float, high: float) -> Cost:
        """What the levels above `low` and up to `high` carry of the excess."""
        none = self.excess - self.excess
        from_below = self.below | {0.0: none, math.inf: self.excess}
        from_above = self.above | {0.0: self.excess, math.inf: none}
        return (from_below[high] - from_below[low] + from_above[low] - from_above[high]).half()

    def share(self, low: float, high: float) -> tuple[float, float, float]:
        """The same as a share of the excess, with its 95 % interval.

        That of the ratio is linearised (the delta method): it has no pole where the excess of few
        images may be nothing.
        """
        part = self.carried(low, high)
        value = part.value / self.excess.value
        drawn = value + (part.drawn - value * self.excess.drawn) / self.excess.value
        return (value, *uncertainty.basic(value, drawn))

    def halves(self) -> list[Cost]:
        """What it costs below each level, and above each."""
        return [*self.below.values(), *self.above.values()]


class Located(NamedTuple):
    """Outside of `low` to `high` the denoiser is as good as the reference; `core` is where most is lost.

    The core is None where `low` is not below `high`: neither half alone costs anything.
    """

    low: float
    high: float
    core: tuple[float, float] | None


def kind(costs: Costs) -> str:
    """ "somewhere", "nowhere", or "untold" where this number of images decides neither."""
    low, high = costs.excess.interval
    if low > 0 and costs.excess.value > costs.margin:
        return "somewhere"
    return "nowhere" if high <= costs.margin else "untold"


def locate(costs: Costs) -> Located:
    """The band outside of which the denoiser is as good as the reference.

    All that is up to `low`, and all that is above `high`, surely costs a negligible amount.
    """
    low, high = 0.0, math.inf
    for level in costs.levels:
        if costs.below[level].interval[1] > costs.negligible:
            break
        low = level
    for level in reversed(costs.levels):
        if costs.above[level].interval[1] > costs.negligible:
            break
        high = level
    return Located(low, high, narrowest(costs, low, high) if low < high else None)


def narrowest(costs: Costs, low: float, high: float) -> tuple[float, float]:
    """The fewest neighbouring bands within `low` to `high` that carry MOST of the excess; all, if none do.

    Of several, the one that carries most of it.
    """
    parts = [band for band in costs.bands() if band[0] >= low and band[1] <= high]
    for count in range(1, len(parts)):
        runs = [(parts[i][0], parts[i + count - 1][1]) for i in range(len(parts) - count + 1)]
        best = max(runs, key=lambda run: costs.carried(*run).value)
        if costs.share(*best)[0] >= MOST:
            return best
    return low, high


def sentence(name: str, reference: str, costs: Costs) -> str:
    """The verdict in words, with intervals."""
    interval = thousandths(costs.excess.value, costs.excess.interval)
    if kind(costs) == "somewhere":
        return failing(name, reference, costs, interval)
    differs = (
        f"its KID x 1e3 differs from that of {reference} by {interval}, "
        f"where {1e3 * costs.margin:.2f} is chance."
    )
    if kind(costs) == "untold":
        return f"{name} cannot be told from {reference} with so few images: {differs}"
    if costs.excess.interval[1] < 0 and -costs.excess.value > costs.margin:
        return f"{name} is better than {reference}: {differs}"
    if any(half.interval[0] > costs.margin for half in costs.halves()):
        hidden = "Below or above some levels alone it costs more: its faults hide each other."
        return f"{name} is as good as {reference} in all: {differs} {hidden}"
    return f"{name} is as good as {reference} at all noise levels: {differs}"


def failing(name: str, reference: str, costs: Costs, interval: str) -> str:
    """The same of a denoiser that is surely worse than the reference."""
    where, worse = locate(costs), f"its KID x 1e3 is {interval} above that of {reference}."
    if where.core is None:
        return (
            f"{name} costs nothing up to sigma {where.low:g} alone, nor above {where.high:g} alone; "
            f"together they do: {worse}"
        )
    core = f"{percent(costs.share(*where.core))} of that is lost {between(*where.core)}."
    fine = [f"up to sigma {where.low:g}"] if where.low > 0 else []
    fine += [f"above {where.high:g}"] if math.isfinite(where.high) else []
    if not fine:
        return f"{name} is nowhere surely as good as {reference}: {worse} {core}"
    fails = between(where.low, where.high)
    return (
        f"{name} is as good as {reference} {' and '.join(fine)}. "
        f"{fails[0].upper()}{fails[1:]} it fails: {worse} {core}"
    )


def thousandths(value: float, ends: Sequence[float]) -> str:
    """A KID in thousandths with its interval, in four digits or so."""
    digits = 0 if abs(value) >= 1 else 1 if abs(value) >= 0.1 else 2
    low, high = (f"{1e3 * end:.{digits}f}" for end in ends)
    return f"{1e3 * value:.{digits}f} [{low}, {high}]"


def between(low: float, high: float) -> str:
    """A band in words."""
    if low == 0:
        return "at all noise levels" if math.isinf(high) else f"up to sigma {high:g}"
    return f"above sigma {low:g}" if math.isinf(high) else f"between sigma {low:g} and {high:g}"


def stretch(low: float, high: float) -> str:
    """The same in a table."""
    if low == 0:
        return "all" if math.isinf(high) else f"to {high:g}"
    return f"from {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"


def percent(share: Sequence[float]) -> str:
    """78 % [70, 86]."""
    value, low, high = (round(100 * part) for part in share)
    return f"{value} % [{low}, {high}]"
