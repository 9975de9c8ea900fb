"""`bench study cross`: two networks that learnt digits or natural patches, each asked for both.

The failed experiment put a restoration network in the place of a U-Net, and changed two things at
once: how the network is built, and what it had learnt. Here each is changed alone, on both sides.
Every cell is a run like any other, in `runs/` of the study's folder.
"""

import dataclasses
import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench import experiment
from bench.data import photographs
from bench.data.datasets import PATCHES
from bench.experiment import Say
from bench.progress import SILENT, Progress
from bench.runs import Run
from bench.sampling.plan import SamplingPlan
from bench.sampling.remembering import Memory, Remembering
from bench.shelf import Shelf
from bench.studies import cross_page, series
from bench.studies.crossing import PLACES, Place
from denoisers.errors import UsageError

STEPS = 50
REMEMBERED = 4000  # images of a cell, at most, of which answers are kept: 3 GB of temporary files
# Network and what it learnt -> its name and weights.
PRIORS = {
    ("U-Net", "digits"): ("unet", "mnist"),
    ("U-Net", "patches"): ("unet", "patches"),
    ("KBNet", "digits"): ("kbnet", "mnist-all"),
    ("KBNet", "patches"): ("kbnet", "patches"),
}


# Half of it is what can be asked for.
def cross(
    out: Path,
    *,
    photos: Path | None = None,
    num: int = 1000,
    seed: int = 0,
    dataset: str = "mnist",
    data_dir: Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> Path:
    """Run all cells that are not done, and write what they say into `out`; the path of cross.md.

    photos   folder of photographs that patches are cut from; None for restoration/train below
             `data_dir` or $BENCH_DATA
    dataset  the digits

    Raises UsageError about the flag that is wrong.
    """
    folder = photographs.natural(data_dir, "--photographs FOLDER") if photos is None else photos
    shelves = {"digits": Shelf(dataset, data_dir), "patches": Shelf(f"{PATCHES}{folder}", data_dir)}
    if shelves["digits"].dataset.what != "digits":
        raise UsageError(f"must be of digits, as half of this is; found {dataset}", "--dataset")
    resolve = functools.partial(resolved, shelves=shelves, out=out, device=device, dtype_name=dtype)
    plans = {place.title: SamplingPlan(num, STEPS) for place in PLACES}
    for title, plan in plans.items():  # what is wrong is said here, before anything is written
        resolve(title, plan, seed=seed)
    study = Run(out, out.parent)
    data = {kind: shelf.dataset.id for kind, shelf in shelves.items()}
    series.claim(study, "cross", {"num": num, "seed": seed, "data": data}, cells=list(plans))
    with tempfile.TemporaryDirectory(prefix="bench-") as kept:
        remembering = functools.partial(resolve, memory=Memory(Path(kept)))
        found, failures = series.measured(
            plans, remembering, [seed], say=say, progress=progress, shown=cross_page.SHOWN
        )
    if failures:
        title, why = next(iter(failures.items()))
        raise FloatingPointError(f"{title}: {why}")
    places = {place.title: place for place in PLACES}
    cross_page.write(study, {places[title]: cell for title, cell in found.items()})
    return out / "cross.md"


def resolved(
    title: str,
    plan: SamplingPlan,
    *,
    shelves: Mapping[str, Shelf],
    out: Path,
    seed: int,
    device: str,
    dtype_name: str,
    memory: Memory | None = None,
) -> experiment.Plan:
    """The run of a cell; what a prior answered for one kind of images need not be asked for the other, on a CPU."""
    place: Place = next(place for place in PLACES if place.title == title)
    name, weights = PRIORS[place.network, place.learnt]
    whole = experiment.resolve(
        name,
        plan,
        weights=weights,
        seed=seed,
        shelf=shelves[place.asked],
        device=device,
        dtype_name=dtype_name,
        out=out / "runs",
        within=out.parent,
    )
    if memory is None or whole.device != "cpu" or plan.num > REMEMBERED:
        return whole
    part = f"{place.network} {place.learnt}"
    return dataclasses.replace(whole, runner=Remembering(whole.runner, memory, lambda _: part))
