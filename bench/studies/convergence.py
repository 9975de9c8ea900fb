"""`bench study convergence`: quality against the calls of the denoiser, and against the epochs of its training.

Every point is a run like any other, in `runs/` of the study's folder.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench import experiment
from bench.experiment import Say
from bench.progress import SILENT, Progress
from bench.reporting.page.blocks import Block, Line, Page, Picture, Plot, Span, about, spans
from bench.runs import Run
from bench.sampling.plan import SamplingPlan
from bench.scoring.compare import Scored
from bench.shelf import Shelf
from bench.studies import series
from bench.studies.series import Cell, interval
from denoisers.errors import UsageError, concerning

SHOWN = 16  # images of each point in the picture
CALLS = (5, 10, 20, 50, 100, 250, 1000)
STEPS = 50  # of the points that differ in their training
TITLE = "Convergence: quality against calls and training"


class Point(NamedTuple):
    """A point of a curve: against what, and at which number of it; what is run."""

    unit: str
    x: int
    weights: str | None
    sampling: SamplingPlan


# Half of it is what can be asked for.
def convergence(
    out: Path,
    denoiser: str,
    *,
    weights: Sequence[str] = (),
    options: dict[str, str] | None = None,
    calls: Sequence[int] = CALLS,
    num: int = 2000,
    seed: int = 0,
    dataset: str = "mnist",
    data_dir: Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> Path:
    """Run all points that are not done, and write what they say into `out`; the path of convergence.md.

    weights  cards or files of one network after more and more epochs, which their cards say: all
             are sampled with STEPS calls, and the one of most epochs with each number of them. Fewer
             than two: no curve of training

    Raises UsageError about the flag that is wrong.
    """
    shelf = Shelf(dataset, data_dir)
    points = points_of(denoiser, weights, options, calls, num, shelf)

    def resolve(name: str, sampling: SamplingPlan, *, seed: int) -> experiment.Plan:
        return experiment.resolve(
            denoiser,
            sampling,
            weights=points[name].weights,
            options=options,
            seed=seed,
            shelf=shelf,
            device=device,
            dtype_name=dtype,
            out=out / "runs",
            within=out.parent,
        )

    cells = {name: point.sampling for name, point in points.items()}
    name, sampling = next(iter(cells.items()))
    whose = series.whose(resolve(name, sampling, seed=seed))  # what is wrong is said here
    study = Run(out, out.parent)
    series.claim(study, "convergence", whose, cells=list(cells))
    found, failures = series.measured(
        cells, resolve, [seed], say=say, progress=progress, shown=SHOWN
    )
    if not found:
        raise FloatingPointError(next(iter(failures.values())))
    write(study, points, found, failures)
    return out / "convergence.md"


def points_of(
    denoiser: str,
    weights: Sequence[str],
    options: dict[str, str] | None,
    calls: Sequence[int],
    num: int,
    shelf: Shelf,
) -> dict[str, Point]:
    """The points of both curves by their names, each curve rising. Raises UsageError."""
    several = weights if len(weights) > 1 else ()
    epochs = {each: trained(denoiser, each, options, shelf) for each in several}
    if len(set(epochs.values())) < len(several):
        found = ", ".join(f"{each} {count}" for each, count in epochs.items())
        raise UsageError(f"must be of different epochs; found {found}", "--weights")
    best = max(epochs, key=epochs.__getitem__) if epochs else next(iter(weights), None)
    points = [
        Point("calls", count, best, series.planned(count, num)) for count in sorted(set(calls))
    ]
    points += [
        Point("epochs", count, each, series.planned(STEPS, num))
        for each, count in sorted(epochs.items(), key=lambda item: item[1])
    ]
    return {
        f"{point.x} {point.unit if point.x > 1 else point.unit[:-1]}": point for point in points
    }


def trained(denoiser: str, weights: str, options: dict[str, str] | None, shelf: Shelf) -> int:
    """For how many epochs the weights were trained, by their card. Raises UsageError."""
    with concerning("--denoiser"):
        card = shelf.denoiser(denoiser, weights, **(options or {})).card or {}
    recipe = card.get("recipe")
    count = recipe.get("epochs") if isinstance(recipe, dict) else None
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise UsageError(
            f"{weights} has no card that says its epochs, as `bench train` writes it", "--weights"
        )
    return count


def write(
    study: Run,
    points: Mapping[str, Point],
    found: Mapping[str, Cell],
    failures: Mapping[str, str],
) -> None:
    """The table, the plots, the picture and the page of a study."""
    frame = pd.DataFrame(
        [
            {"name": name, "unit": points[name].unit, "x": points[name].x}
            | series.numbers(cell.scored)
            for name, cell in found.items()
        ]
    )
    first = next(iter(found.values())).scored
    plots = drawn(frame, first)
    images = [(name, cell.images) for name, cell in found.items()]
    said = [*conclusions(frame), *series.failed(failures)]
    shown = about(page(frame, plots, first, said), series.dataset(first))
    series.publish(study, "convergence", frame, images, shown)


def drawn(frame: pd.DataFrame, first: Scored) -> list[Plot]:
    """FID against the calls, and against the epochs where these differ."""
    floor = series.floor(first, "fid").value
    plots = []
    for unit, title in {
        "calls": "calls of the denoiser per image",
        "epochs": "epochs of training",
    }.items():
        rows = frame[frame["unit"] == unit]
        if len(rows) > 1:
            points = [
                [float(row["x"]), row["fid"], row["fid_low"], row["fid_high"]]
                for _, row in rows.iterrows()
            ]
            alt = f"FID against {title}, with 95 % intervals; dotted: held-out digits"
            plots.append(
                Plot(
                    f"{unit}.png",
                    alt,
                    title,
                    "FID",
                    [Line(str(first.facts["denoiser"]), points)],
                    floor,
                )
            )
    return plots


def page(frame: pd.DataFrame, plots: list[Plot], first: Scored, said: list[list[Span]]) -> Page:
    """What was found, the plots, the table and the picture."""
    made = (
        f"{first.name}, {first.num} images, seed {first.seeds[0]}, ddpm on the ddpm grid. "
        f"Different epochs are sampled with {STEPS} calls. "
        f"FID of as many held-out digits: {series.floor(first, 'fid').value:.2f}."
    )
    return Page(
        TITLE,
        [
            Block("text", spans(made)),
            *([Block("list", said)] if said else []),
            *(Block("plot", plot) for plot in plots),
            Block("table", cells(frame)),
            Block("text", spans("The first images of each, from the same noise:")),
            Block("picture", Picture("convergence.png", "samples of each point")),
        ],
    )


def conclusions(frame: pd.DataFrame) -> list[list[Span]]:
    """From which point on the interval of FID meets that of the last one, or that none before it does."""
    said = []
    for unit in ("calls", "epochs"):
        rows = frame[frame["unit"] == unit]
        if len(rows) < 2:
            continue
        last = rows.iloc[-1]
        apart = (rows["fid_low"] > last["fid_high"]) | (rows["fid_high"] < last["fid_low"])
        first = rows[~apart[::-1].cummax()[::-1]].iloc[0]
        if first["name"] == last["name"]:
            text = f" at {last['name']}: FID {interval(last, 'fid')}, and the point before it is apart."
            said.append(spans(Span("Still changing", strong=True), text))
        else:
            text = (
                f" the interval of FID meets that of {last['name']}: "
                f"{interval(first, 'fid')} and {interval(last, 'fid')}."
            )
            said.append(spans(Span(f"From {first['name']} on", strong=True), text))
    return said


def cells(frame: pd.DataFrame) -> list[list[str]]:
    """The heading and the rows of the table."""
    rows = [
        [
            row["name"],
            interval(row, "fid"),
            f"{1e3 * row['kid']:.2f} ± {1e3 * row['kid_stderr']:.2f}",
            series.said(row, "confidence", ".4f"),
            series.said(row, "mixed", ".1%"),
            f"{row['ink']:.4f}",
        ]
        for _, row in frame.iterrows()
    ]
    return [["point", "FID", "KID x 1e3", "conf", "mixed", "ink"], *rows]
