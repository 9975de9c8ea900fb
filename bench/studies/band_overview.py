"""Where each denoiser stops: what the studies of bands in one folder found, side by side."""

import math

import pandas as pd

from bench.files import Say
from bench.reporting.page.blocks import Bar, Bars, Block, Page, Span, spans
from bench.reporting.page.checked import BARS
from bench.reporting.results import stops
from bench.reporting.results.stops import Stop
from bench.runs import Run
from bench.studies import bands, series
from denoisers.errors import UsageError

NAME = "band"
IN_ALL = {"somewhere": "together", "nowhere": "nowhere", "untold": "cannot be told"}
FAR = 160.0  # where the last band is drawn to: the first level of the sampler


def write(folder: Run, say: Say) -> None:
    """band.csv, band.md, the page and its figure, out of every verdict below the folder."""
    found = []
    for path in sorted(folder.path.glob(f"*/{stops.FILE}")):
        try:
            found.append(stops.read(path))
        except UsageError as error:
            say(f"{path} is left out: {error}")
    found.sort(key=lambda stop: stop.excess[0])
    frame = pd.DataFrame([row(stop) for stop in found])
    series.publish(folder, NAME, frame, [], page(found))


def row(stop: Stop) -> dict[str, object]:
    """Of the table."""
    low, high = stop.fails or (math.nan, math.nan)
    core = (
        {}
        if stop.core is None
        else {f"lost_{key}": value for key, value in stop.core._asdict().items()}
    )
    return {
        "name": stop.name,
        "reference": stop.reference,
        "n": stop.num,
        "fails": stop.kind,
        "excess": stop.excess[0],
        "excess_low": stop.excess[1],
        "excess_high": stop.excess[2],
        "fails_over": low,
        "fails_up_to": high,
        **core,
    }


def page(found: list[Stop]) -> Page:
    """The picture, the sentences and the table."""
    first = found[0]
    made = (
        f"Each denoiser in the place of {first.reference}, below and above levels of noise; "
        f"{first.num} images of each. The excess is what KID rises by with the denoiser at all levels."
    )
    drawn = Bars(
        f"{NAME}-shares.png",
        "the noise levels at which each denoiser loses the digit: the darker, the larger the share of its excess KID; "
        "framed, where it fails; the line below, what it was trained on",
        "σ, images in [−1, 1]",
        [bar(stop) for stop in found[:BARS]],
    )
    said = [
        spans(Span(stop.name, strong=True), stop.sentence.removeprefix(stop.name)) for stop in found
    ]
    return Page(
        "Where each denoiser stops",
        [
            Block("text", spans(made)),
            Block("bars", drawn),
            Block("text", spans(f"{drawn.alt[0].upper()}{drawn.alt[1:]}.")),
            Block("list", said),
            Block("table", cells(found)),
        ],
    )


def bar(stop: Stop) -> Bar:
    """A denoiser's."""
    parts = [[part.low, min(part.high, FAR), min(max(part.share, 0.0), 1.0)] for part in stop.parts]
    framed, trained = (
        None if band is None else [band[0], min(band[1], FAR)]
        for band in (stop.fails, stop.trained)
    )
    return Bar(stop.name, parts, framed, trained)


def cells(found: list[Stop]) -> list[list[str]]:
    """The heading and the rows of the table."""
    heading = ["denoiser", "excess KID x 1e3", "fails at sigma", "lost at sigma", "share"]
    rows = []
    for stop in found:
        rows.append(
            [
                stop.name,
                bands.thousandths(stop.excess[0], stop.excess[1:]),
                IN_ALL[stop.kind] if stop.fails is None else bands.stretch(*stop.fails),
                "" if stop.core is None else bands.stretch(*stop.core[:2]),
                "" if stop.core is None else bands.percent(stop.core[2:]),
            ]
        )
    return [heading, *rows]
