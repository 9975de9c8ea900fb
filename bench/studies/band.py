"""`bench study band`: at which noise levels a denoiser stops being a prior, and what each band costs.

The denoiser is put in the place of a reference below each of some levels, and above it, and begun
from held-out digits under the noise of each. Every cell is a run like any other, from the same
noise, in `runs/`, beside the folders of the studies, which share them; bands.py says what lies
between them.
"""

import contextlib
import dataclasses
import functools
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench import experiment, files, names
from bench.bounds import LEAST
from bench.data.dataset import Dataset
from bench.experiment import Plan, Say
from bench.probes import denoising, likelihood
from bench.progress import SILENT, Progress
from bench.reporting.figures import curves
from bench.reporting.page import blocks
from bench.reporting.results import likelihoods, stops
from bench.runs import Run
from bench.sampling.plan import SamplingPlan
from bench.sampling.remembering import Memory, Remembering
from bench.shelf import Shelf
from bench.studies import band_cells, band_errors, band_overview, band_page, series
from bench.studies.band_cells import OWN, REFERENCE, SHOWN, Place, Study
from denoisers.base import Denoiser
from denoisers.errors import ForeignError, UsageError
from denoisers.registry import SPLICE

LEVELS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 12.0, 40.0)
STEPS = 50
# Images of a cell at most, of which answers are kept: 2 x 0.8 GB of temporary files.
REMEMBERED = 4000
# Whose errors are shown beside: the best linear denoiser, and what memorizes.
BOUNDS = tuple(curves.BOUNDS)
ROLES = {"own": OWN.title, "reference": REFERENCE.title}
PLACES = (
    *(REFERENCE, OWN),
    *(Place(kind, level) for kind in ("below", "above", "start") for level in LEVELS),
)


def sampling(place: Place, num: int) -> SamplingPlan:
    """The standard's steps, or of them as many as lie below a start."""
    if place.kind != "start":
        return SamplingPlan(num, STEPS)
    lower = SamplingPlan(num, STEPS).sigmas[1:-1] < place.level
    return SamplingPlan(num, 1 + int(lower.sum()), sigma_max=place.level, start="held-out")


@contextlib.contextmanager
def about_reference(name: str) -> Iterator[None]:
    """Inside, usage errors are about --reference."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", "--reference") from None


class Asked(NamedTuple):
    """Who is studied, beside whom."""

    denoiser: str
    weights: str | None
    options: Mapping[str, str]
    reference: str

    def check(self) -> None:
        """Raise UsageError for names that cannot be parts of a splice."""
        for name, flag in ((self.denoiser, "--denoiser"), (self.reference, "--reference")):
            if name.startswith(SPLICE) or "," in name:
                raise UsageError(
                    "must be no splice, of which this study makes its own, and have no comma in its path; "
                    f"found {name[:100]!r}",
                    flag,
                )

    def named(self, place: Place) -> tuple[str, str | None, dict[str, str]]:
        """Name, weights and options of what samples a cell."""
        if place == REFERENCE:
            return self.reference, None, {}
        if place.kind in BOUNDS:
            return place.kind, None, {}
        if place.kind not in ("below", "above"):
            return self.denoiser, self.weights, dict(self.options)
        own = dict(self.options) | ({} if self.weights is None else {"weights": self.weights})
        pair = (
            (self.reference, self.denoiser)
            if place.kind == "below"
            else (self.denoiser, self.reference)
        )
        name = f"{SPLICE}{pair[0]},{pair[1]}@{place.level:g}"
        return name, None, {f"{place.kind}.{key}": value for key, value in own.items()}


# Half of it is what can be asked for.
def band(
    out: Path,
    denoiser: str,
    *,
    weights: str | None = None,
    options: dict[str, str] | None = None,
    reference: str = "unet",
    num: int = 256,
    seed: int = 0,
    dataset: str = "mnist",
    data_dir: Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> Path:
    """Run all cells that are not done, and write what they say into a folder of `out`; the path of its band.md.

    Studies of other denoisers lie beside it, and share what they can; the band.md of `out` is about all of them.

    reference  a prior that is known to generate, by its name
    num        images of each cell, and held-out digits that errors are measured on

    Raises UsageError about the flag that is wrong.
    """
    places = {place.title: place for place in (*PLACES, *map(Place, BOUNDS))}
    asked, shelf = Asked(denoiser, weights, options or {}, reference), Shelf(dataset, data_dir)
    asked.check()
    resolve = functools.partial(
        resolved, asked, places, out=out, shelf=shelf, device=device, dtype_name=dtype
    )
    whole = functools.partial(resolve, plan=SamplingPlan(num, STEPS), seed=seed)
    # What is wrong is said here, before anything is written.
    own, kept = whole(OWN.title), Run(out / "errors", out.parent)
    with about_reference(reference):
        base = whole(REFERENCE.title)
    if own.run.id == base.run.id:
        raise UsageError(
            f"is the reference itself, {reference}; --reference takes another", "--denoiser"
        )
    shelf.dataset.first(num)
    whose, beside = series.whose(own), series.whose(base)
    cells = {place.title: sampling(place, num) for place in PLACES}
    study = Run(out / files.slug(names.describe(whose)), out.parent)
    shared = {key: whose[key] for key in ("dataset", "seed", "num")} | {"reference": beside}
    series.claim(Run(out, out.parent), "bands", shared)
    series.claim(study, "band", whose | shared, cells=list(cells))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        remembering = functools.partial(resolve, memory=Memory(Path(folder)))
        measure = functools.partial(
            series.measured, resolve=remembering, seeds=[seed], say=say, shown=3 * SHOWN + 2
        )
        alone = {place.title: cells[place.title] for place in (REFERENCE, OWN)}
        _, failures = measure(alone, progress=SILENT)
        if failures:
            title, why = next(iter(failures.items()))
            raise FloatingPointError(
                f"{title}: {why}; `bench check` says at which levels it answers"
            )
        found, failures = measure(cells, progress=progress)
    squares: dict[str, np.ndarray] = {}
    plans = {"own": own, "reference": base} | {name: whole(name) for name in BOUNDS}
    for role, plan in plans.items():
        load = functools.partial(loaded, *asked.named(places[ROLES.get(role, role)]), shelf)
        try:
            squares[role] = band_errors.squares(kept, plan, load, say, progress)
        except (FloatingPointError, ForeignError) as error:
            failures[f"measuring errors ({role})"] = str(error)
    measured = Study(
        tuple(names.distinct([whose, beside])),
        LEVELS,
        {places[title]: cell for title, cell in found.items()},
        failures,
        squares,
    )
    write(study, measured, {"own": whose, "reference": beside}, shelf.dataset)
    band_overview.write(Run(out, out.parent), say)
    return study.path / "band.md"


def resolved(
    asked: Asked,
    places: Mapping[str, Place],
    title: str,
    plan: SamplingPlan,
    *,
    out: Path,
    memory: Memory | None = None,
    **options: Any,
) -> Plan:
    """The run of a cell; what it has in common with others is remembered, on a CPU."""
    place = places[title]
    name, weights, own = asked.named(place)
    whole = experiment.resolve(
        name, plan, weights=weights, options=own, out=out / "runs", within=out.parent, **options
    )
    shared = {"nowhere": "reference", "below": "reference", "everywhere": "own", "above": "own"}
    if memory is None or whole.device != "cpu" or place.kind not in shared or plan.num > REMEMBERED:
        return whole

    def part(sigma: float) -> str:
        return shared[place.kind] if sigma > place.level else ""

    return dataclasses.replace(whole, runner=Remembering(whole.runner, memory, part))


def loaded(name: str, weights: str | None, options: dict[str, str], shelf: Shelf) -> Denoiser:
    """A denoiser on the CPU, as it is."""
    return experiment.load(name, weights, options, shelf, SamplingPlan(LEAST, STEPS), "cpu")[0]


def write(
    study: Run, measured: Study, whose: Mapping[str, Mapping[str, Any]], dataset: Dataset
) -> None:
    """The verdict, the table, the plots, the picture, the page, and the likelihoods that follow from the errors."""
    costs = measured.costs()
    frame = band_cells.table(measured, costs)
    stop = band_page.verdict(measured, costs, whose["own"])
    for role, facts in whose.items():
        if role in measured.squares:
            bits = likelihood.bits(measured.squares[role], math.prod(dataset.size))
            beside = study.path.parent
            denoising.keep(bits, facts, dataset, measured.own.num, beside, likelihoods.FOLDER)
    series.publish(
        study,
        "band",
        frame,
        band_cells.strips(measured),
        blocks.about(band_page.page(measured, costs, frame, stop), dataset.id),
        label=20 + 6 * max(map(len, measured.names)),
        scale=1,
    )
    study.write_json(stops.FILE, stop.to_json())
