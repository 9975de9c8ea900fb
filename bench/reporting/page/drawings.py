"""Small drawings that a page makes itself, as coordinates: interval strips, traces, histograms.

They take the page's colours, so they are right in light and dark, and cost next to nothing: there
may be hundreds.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench.scoring.schema import Score

POINTS = 120  # of a trace; a run may have 1000 steps
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 260, 118, 30, 6, 18  # of a trace panel, in its own units
PANELS = (
    (
        "sigma_hat",
        "residual / σ",
        (0.0, 2.0),
        "RMS of x − D over σ; 1 where the denoiser removes exactly the noise",
    ),
    ("clipped", "clipped share", (0.0, 1.0), "share of the pixels of D outside [−1, 1]"),
    (
        "autocorrelation",
        "residual autocorrelation",
        (-1.0, 1.0),
        "between neighbouring pixels of x − D; 0 for noise",
    ),
)


class Strip(NamedTuple):
    """A value and its interval on a scale of 0 to 100."""

    at: float
    low: float
    high: float


class Panel(NamedTuple):
    """One plot against sigma, which falls from left to right as the sampler runs."""

    title: str
    text: str  # what it shows, in words, with its extremes
    path: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    band: tuple[float, float] | None  # left and width of the trained noise levels


class Bar(NamedTuple):
    """A class: its share, the control's, both relative to the tallest."""

    digit: int
    share: float
    height: float
    usual: float | None


def strips(numbers: Sequence[Score | None], unit: float) -> list[Strip | None]:
    """The intervals of a column on one scale: linear below `unit`, logarithmic above.

    They span decades.
    """

    def squeezed(value: float) -> float:
        return math.copysign(math.log1p(abs(value) / unit), value)

    drawn = [None if n is None or n.low is None else (n.value, n.low, n.high) for n in numbers]
    places = [squeezed(value) for ends in drawn if ends for value in ends]
    first, span = (
        min(places, default=0.0),
        (max(places, default=0.0) - min(places, default=0.0)) or 1.0,
    )
    return [
        None
        if ends is None
        else Strip(*(round(100 * (squeezed(value) - first) / span, 1) for value in ends))
        for ends in drawn
    ]


def panels(trace: pd.DataFrame, band: tuple[float, float] | None) -> list[Panel]:
    """The traces that a run kept, against its sigma, which is above 0; see `Kept`."""
    trace = trace.iloc[np.unique(np.linspace(0, len(trace) - 1, POINTS).round().astype(int))]
    sigma = trace["sigma"].to_numpy(dtype=float)
    left, right = math.log10(sigma.max()), math.log10(sigma.min())

    def across(value: float) -> float:
        share = (left - math.log10(value)) / ((left - right) or 1)
        return round(LEFT + min(1, max(0, share)) * (WIDTH - LEFT - 4), 1)

    x_ticks = [
        (across(10.0**power), f"{10.0**power:g}")
        for power in range(math.ceil(right), math.floor(left) + 1)
    ]
    shaded = None
    if band is not None:
        begin, end = (across(min(max(level, sigma.min()), sigma.max())) for level in reversed(band))
        shaded = (begin, round(max(0, end - begin), 1))
    drawn = []
    for column, title, (low, high), meaning in PANELS:
        if column in trace:
            values = trace[column].to_numpy(dtype=float) / (sigma if column == "sigma_hat" else 1)
            if np.isnan(values).all():
                continue
            heights = (
                HEIGHT
                - BOTTOM
                - (np.nan_to_num(values).clip(low, high) - low)
                / (high - low)
                * (HEIGHT - TOP - BOTTOM)
            )
            path = "M" + "L".join(
                f"{across(s)},{y:.1f}" for s, y in zip(sigma, heights, strict=True)
            )
            ticks = [
                (
                    HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM),
                    f"{low + share * (high - low):g}",
                )
                for share in (0, 0.5, 1)
            ]
            text = f"{meaning}; from {np.nanmin(values):.2g} to {np.nanmax(values):.2g}"
            drawn.append(Panel(title, text, path, x_ticks, ticks, shaded))
    return drawn


def bars(histogram: list[int], usual: list[int]) -> list[Bar]:
    """Shares of the predicted classes beside those of held-out digits."""
    if not sum(histogram):
        return []
    shares = np.array(histogram) / sum(histogram)
    beside = np.array(usual) / sum(usual) if len(usual) == len(histogram) and sum(usual) else None
    top = max(shares.max(), 0.2)
    return [
        Bar(
            digit,
            float(share),
            round(100 * float(share / top), 1),
            None if beside is None else round(100 * float(beside[digit] / top), 1),
        )
        for digit, share in enumerate(shares)
    ]
