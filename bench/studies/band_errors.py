"""Squared errors of the denoisers in a study of bands, on held-out digits; kept for the studies beside it."""

import contextlib
from collections.abc import Callable

import numpy as np

from bench import files, runs
from bench.experiment import Plan
from bench.files import Say
from bench.probes import likelihood
from bench.progress import Advance, Progress
from bench.runs import Run
from bench.sampling import workers
from denoisers.base import Denoiser
from denoisers.errors import foreign

VERSION = 1  # raise it when the same denoiser would have other errors
AT_ONCE = 8  # levels that a worker measures
# Of a run's identity, what decides the errors of its denoiser, with the number of digits.
DECIDES = ("denoiser", "weights", "options", "source", "arguments", "dataset", "seed")


def squares(
    folder: Run, plan: Plan, load: Callable[[], Denoiser], say: Say, progress: Progress
) -> np.ndarray:
    """Of the denoiser of a run, float64 (num, levels of `likelihood.grid`), measured unless they are in `folder`.

    load  gives the denoiser on the CPU as it is, in float32, as `bench gauge` asks it: that of the
          run has become what its arithmetic makes of it

    Raises FloatingPointError for one that returns NaN, ForeignError for code that fails.
    """
    facts, num = plan.facts.identity.to_json(), plan.sampling.num
    mark = runs.fingerprint([VERSION, num, {key: facts.get(key) for key in DECIDES}])
    name = f"{files.slug(facts['denoiser'])}-{mark}"
    path = folder.path / f"{name}.npz"
    count = len(likelihood.grid()[0])
    layout = {"squares": ("float64", (num, count))}
    there = files.read_back(path, say, name=name, layout=layout)
    if there is None:
        advance = progress.stage("errors", count)
        with foreign("the denoiser"):
            there = {"squares": measured(plan, load(), count, advance)}
        files.write_sealed(path, name, there, folder.root)
    return there["squares"]


def measured(plan: Plan, denoiser: Denoiser, count: int, advance: Advance) -> np.ndarray:
    """At all `count` levels, some by each worker."""
    num, seed = plan.sampling.num, plan.seed
    tasks = [range(first, min(first + AT_ONCE, count)) for first in range(0, count, AT_ONCE)]

    def work(levels: range, advance: Advance) -> list[np.ndarray]:
        return [likelihood.error(denoiser, plan.dataset, num, seed, level) for level in levels]

    columns: dict[int, np.ndarray] = {}
    side_by_side = workers.side_by_side(tasks, work, plan.workers, advance)
    with contextlib.closing(side_by_side) as finished:
        for levels, found in finished:
            columns |= dict(zip(levels, found, strict=True))
            advance(len(levels))
    return np.stack([columns[level] for level in range(count)], 1)
