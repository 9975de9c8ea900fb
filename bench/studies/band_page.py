"""What a study of bands says of one denoiser: the verdict, the plots, the table, the picture."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.probes import likelihood
from bench.reporting.figures import curves
from bench.reporting.page.blocks import Block, Line, Page, Picture, Plot, Span, spans
from bench.reporting.results.entries import trained
from bench.reporting.results.stops import Part, Stop
from bench.scoring.compare import Scored
from bench.scoring.uncertainty import paired_difference
from bench.studies import bands, series
from bench.studies.band_cells import OWN, Place, Study
from bench.studies.bands import Costs

X = "σ, images in [−1, 1]"
PLOTTED = (0.024, 80.0)  # noise of the errors that are plotted: below, grey levels are rounded
LINEAR = next(iter(curves.BOUNDS))  # the best linear denoiser


def verdict(study: Study, costs: Costs, identity: Mapping[str, Any]) -> Stop:
    """What was found, in words and numbers.

    identity  denoiser, weights, options, dataset and source, as in run.json
    """
    name, reference = study.names
    kind = bands.kind(costs)
    where = bands.locate(costs) if kind == "somewhere" else None
    core = where.core if where else None
    return Stop(
        dict(identity),
        name,
        reference,
        kind,
        bands.sentence(name, reference, costs),
        study.own.num,
        (costs.excess.value, *costs.excess.interval),
        fails=(where.low, where.high) if where and core else None,
        trained=trained(study.own.facts),
        core=Part(*core, *costs.share(*core)) if core else None,
        parts=tuple(Part(*band, *costs.share(*band)) for band in costs.bands() if where),
    )


def page(study: Study, costs: Costs, frame: pd.DataFrame, stop: Stop) -> Page:
    """The verdict, the plots, the table and the picture."""
    said = [spans(Span(stop.sentence, strong=True)), kept(study), *bits(study), *linear(study)]
    plots = [quality(study, frame), *([squared(study)] if study.squares else [])]
    return Page(
        f"Where {stop.name} stops",
        [
            Block("list", [*said, *series.failed(study.failures)]),
            *(Block("plot", plot) for plot in plots),
            Block("table", cells(frame)),
            Block("text", spans(explained(study, costs))),
            Block("text", spans(ROWS.format(own=stop.name, reference=stop.reference))),
            Block("picture", Picture("band.png", "samples at each level")),
        ],
        folded=True,
    )


ROWS = (
    "The first images of each cell, from the same noise. At each sigma, from left to right: {own} up to it "
    "and {reference} above; {own} above it and {reference} up to it; {own} begun from held-out digits there."
)


def kept(study: Study) -> list[Span]:
    """Up to which noise what begins from held-out digits stays within chance of the reference's KID."""
    base, good = study.reference, 0.0
    for level in study.levels:
        begun = study.found.get(Place("start", level))
        if begun is None or begun.scored.values["kid"] - base.values["kid"] > base.margin("kid"):
            break
        good = level
    if not good:
        least = f"from the least noise on, sigma {min(study.levels):g}"
        return spans(f"Begun from held-out digits, its KID is beyond chance {least}.")
    return spans(
        f"Begun from held-out digits under noise, its KID stays within chance up to sigma {good:g}."
    )


def bits(study: Study) -> list[list[Span]]:
    """What the errors of both cost in all, as a code."""
    name, reference = study.names
    excess = study.excess_bits(0.0, math.inf)
    if excess is None:
        return []
    low, high = excess.ci95
    return [
        spans(
            f"By its squared errors a held-out digit costs {excess.value:+.1f} [{low:.1f}, {high:.1f}] bits "
            f"under {name}, beside {reference}."
        )
    ]


def linear(study: Study) -> list[list[Span]]:
    """Where the denoiser's squared errors are above those of the best linear one, by 95 % intervals of each level."""
    if not {"own", LINEAR} <= study.squares.keys() or study.names[0] == LINEAR:
        return []
    sigmas, shown = plotted()
    changes = [
        paired_difference(study.squares[LINEAR][:, place], study.squares["own"][:, place])
        for place in np.flatnonzero(shown)
    ]
    worse = sigmas[shown][[change.sign() > 0 for change in changes]]
    where = f", between sigma {worse.min():.2g} and {worse.max():.2g}" if len(worse) else ""
    return [
        spans(
            "Its squared errors are above those of the best linear denoiser at "
            f"{len(worse)} of {shown.sum()} levels{where}."
        )
    ]


def plotted() -> tuple[np.ndarray, np.ndarray]:
    """The levels of `likelihood.grid`, and which of them are plotted."""
    sigmas, _ = likelihood.grid()
    return sigmas, (sigmas >= PLOTTED[0]) & (sigmas <= PLOTTED[1])


def quality(study: Study, frame: pd.DataFrame) -> Plot:
    """KID against the level of the splice and of the start."""
    name, reference = study.names
    known = frame[np.isfinite(frame["up_to"])]
    named = {
        "below": f"{name} up to σ",
        "above": f"{name} above σ",
        "start": "from digits at σ",
    }
    drawn = []
    for kind, title in named.items():
        columns = [f"{kind}_kid{part}" for part in ("", "_low", "_high")]
        if set(columns) <= set(known):
            rows = known.dropna(subset=columns)
            values = (1e3 * rows[columns].to_numpy()).tolist()
            pairs = zip(rows["up_to"].tolist(), values, strict=True)
            drawn.append(Line(title, [[level, *value] for level, value in pairs]))
    usual = series.estimate(study.reference, "kid")
    level = [1e3 * value for value in (usual.value, *usual.ci95)]
    ends = (float(min(study.levels)), float(max(study.levels)))
    drawn.append(Line(f"{reference} alone", [[end, *level] for end in ends]))
    return Plot(
        "quality.png",
        f"KID against the level at which {name} and {reference} change places",
        X,
        "KID × 10³",
        [line for line in drawn if line.points],
        1e3 * series.floor(study.own, "kid").value,
        shaded(study.own),
    )


def squared(study: Study) -> Plot:
    """Root mean squared error of a pixel against the noise, beside the reference's and the bounds'."""
    sigmas, shown = plotted()
    pixels = study.found[OWN].images[0].size
    called = dict(zip(("own", "reference"), study.names, strict=True))
    drawn = [
        Line(
            name,
            [
                [round(float(s), 4), rms, rms, rms]
                for s, rms in zip(sigmas[shown], values, strict=True)
            ],
        )
        for name, values in (
            (called.get(role, role), np.sqrt(part[:, shown].mean(0) / pixels).round(5).tolist())
            for role, part in study.squares.items()
            if role not in study.names  # a bound that is studied itself
        )
    ]
    return Plot(
        "errors.png",
        "error of a pixel against the noise",
        X,
        "RMS error of a pixel",
        drawn,
        None,
        shaded(study.own),
    )


def shaded(own: Scored) -> list[float] | None:
    """The same where a plot shades it: not where it is everything."""
    band = trained(own.facts)
    return None if band is None or band[1] > PLOTTED[1] else list(band)


def explained(study: Study, costs: Costs) -> str:
    """What the columns of the table are."""
    return (
        f"{study.own.num} images of each cell, seed {study.own.seeds[0]}. In KID x 1e3, with 95 % intervals: "
        "carried, what the band adds to the excess, as the mean of extending the denoiser from below and from "
        "above; below, what the denoiser costs up to the level, the reference above; above, what it costs above "
        "the level; start, KID of what is begun from held-out digits at the level, and its confidence. Bits: "
        f"per image, by squared errors. {1e3 * costs.margin:.2f} is chance."
    )


def cells(frame: pd.DataFrame) -> list[list[str]]:
    """The heading and the rows of the table."""

    def known(row: "pd.Series[float]", key: str) -> bool:
        return key in row and not pd.isna(row[key])

    def cost(row: "pd.Series[float]", key: str) -> str:
        if not known(row, key):
            return ""
        return bands.thousandths(row[key], (row[f"{key}_low"], row[f"{key}_high"]))

    rows = [
        [
            bands.stretch(row["over"], row["up_to"]),
            cost(row, "carried"),
            bands.percent(row[["share", "share_low", "share_high"]]) if known(row, "share") else "",
            f"{row['excess_bits']:.1f} ± {row['excess_bits_stderr']:.1f}"
            if known(row, "excess_bits")
            else "",
            cost(row, "below_cost"),
            cost(row, "above_cost"),
            cost(row, "start_kid"),
            f"{row['start_confidence']:.3f}" if known(row, "start_confidence") else "",
        ]
        for _, row in frame.iterrows()
    ]
    return [["sigma", "carried", "share", "bits", "below", "above", "start", "start conf"], *rows]
