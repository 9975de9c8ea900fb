"""One run from names to numbers: resolve everything, generate what is missing, score what is on disk."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import denoisers
from bench import chunks, files, machine, samples
from bench.bounds import BOUNDS
from bench.data.dataset import Dataset
from bench.facts import Identity, RunFacts, arguments
from bench.files import Say
from bench.progress import SILENT, Progress
from bench.runs import Run
from bench.sampling import execution, generation, trajectory, workers
from bench.sampling.execution import Runner
from bench.sampling.generation import Setup
from bench.sampling.plan import SamplingPlan
from bench.sampling.starts import STARTS
from bench.scoring import durations, extractors, record
from bench.scoring.extractors import Extractor
from bench.scoring.reference import References
from bench.scoring.rules import ScoringRules
from bench.shelf import Shelf
from denoisers import framing
from denoisers.base import Denoiser
from denoisers.errors import ForeignError, UsageError, concerning, foreign

OVERWRITE = ("only-missing", "always", "never")
NOISE_VERSION = 2  # raise it when the same arguments give other images


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything a run needs, resolved and checked before the first image."""

    denoiser: Denoiser
    references: References
    extractor: Extractor
    sampling: SamplingPlan
    seed: int
    device: str
    runner: Runner  # calls the denoiser
    batch_size: int
    workers: int  # processes; the images do not depend on them
    facts: RunFacts
    rules: ScoringRules
    run: Run

    @property
    def dataset(self) -> Dataset:
        """What the images are like, and are scored against."""
        return self.references.dataset

    def work(self) -> dict[str, Any]:
        """How much there is to generate, for `chunks.generate_missing`."""
        size = self.dataset.train.shape[1:]
        return {"num": self.sampling.num, "size": size, "processes": self.workers}

    def setup(self) -> Setup:
        """How the images are generated."""
        return setup(self.runner, self.sampling, self.dataset, self.seed, self.batch_size)


# Half of it is what a run can be asked for.
def resolve(
    name: str,
    sampling: SamplingPlan,
    *,
    weights: str | None = None,
    options: Mapping[str, str] | None = None,
    seed: int = 0,
    dataset_name: str = "mnist",
    data_dir: Path | None = None,
    extractor_name: str | None = None,
    extractor_weights: Path | None = None,
    device: str = "auto",
    dtype_name: str = "auto",
    compiling: str = "auto",
    batch_size: int | None = None,
    worker_count: str = "auto",
    out: Path = Path("results"),
    within: Path | None = None,
    shelf: Shelf | None = None,
) -> Plan:
    """Turn names into things; whatever is wrong with them is said here, before the first image.

    options            keywords of the denoiser's load function
    dtype_name, compiling  see `execution.choose`
    extractor_weights  file for a network trained on photographs: see `extractors.load`
    worker_count       processes that generate, "auto" or a number: see `workers.choose`
    within             the folder that the user named, if `out` is one below it: see `runs.Run`
    shelf              what a series of runs has in common, in the place of dataset_name and data_dir

    Raises UsageError about the flag that is wrong, ForeignError if code that is not ours fails.
    """
    options = dict(options or {})
    BOUNDS["seed"].check(seed, "--seed")
    if batch_size is not None:
        BOUNDS["batch-size"].check(batch_size, "--batch-size")
    with concerning("--denoiser"):
        denoisers.registry.find(name)
    device = machine.choose_device(device)
    if extractor_name is not None:
        extractors.family_of(extractor_name)  # or it is unknown, which is said at once
    machine.check_writable(out)
    shelf = shelf or Shelf(dataset_name, data_dir, kept=False)
    dataset = shelf.dataset
    extractor = extractors.suiting(dataset, extractor_name, extractor_weights, device)
    sampling.check_start(dataset)
    denoiser, doubts = load(name, weights, options, shelf, sampling, device)
    source = denoisers.registry.source(name)
    runner, size = running(
        denoiser, dataset, sampling, device, dtype_name, compiling, batch_size, ours=not source
    )
    way = runner.way
    # Threads that compiled code has begun, or code that is not ours, do not survive the copying.
    if way.compiled and worker_count not in ("auto", "1"):
        raise UsageError(f"must be 1 with --compile on; found {worker_count}", "--workers")
    count = workers.choose(worker_count, device, foreign=bool(source) or way.compiled)
    identity = Identity(
        name,
        denoiser.spec.weights,
        options,
        sampling.to_json(),
        seed,
        dataset.id,
        way.dtype,
        NOISE_VERSION,
        source,
        arguments(weights, options) if source else {},
        way.identity,
    )
    return Plan(
        denoiser,
        shelf.references,
        extractor,
        sampling,
        seed,
        device,
        runner,
        size,
        count,
        RunFacts.of(identity, denoiser, sampling.sigmas, device, runner.to_json(), doubts),
        record.rules_of(dataset, extractor, sampling.num, sampling.to_json()),
        Run(out / files.slug(name) / identity.run_id, within or out),
    )


def load(
    name: str,
    weights: str | None,
    options: Mapping[str, str],
    shelf: Shelf,
    sampling: SamplingPlan,
    device: str,
) -> tuple[Denoiser, list[str]]:
    """The denoiser on its device, tried on the images it will be asked about, and what to doubt of it.

    A sampler that is not ours is tried, too.
    """
    with concerning("--denoiser"):
        denoiser = shelf.denoiser(name, weights, **options)
    with concerning("--denoiser"):
        return fitted(denoiser, shelf.dataset, sampling, device)


def fitted(
    denoiser: Denoiser, dataset: Dataset, sampling: SamplingPlan, device: str
) -> tuple[Denoiser, list[str]]:
    """A denoiser on its device, as it takes the images of a dataset, tried on them, and what to doubt of it."""
    if ":" in sampling.sampler:
        generation.rehearse(sampling.member, sampling.sigmas, dataset.shape, sampling.clip)
    denoiser = framing.banded(denoiser.to(device), dataset.channels)
    return denoiser, framing.fit(denoiser, dataset.size, dataset.pad, device, dataset.channels)


def running(
    denoiser: Denoiser,
    dataset: Dataset,
    sampling: SamplingPlan,
    device: str,
    dtype_name: str = "auto",
    compiling: str = "auto",
    batch_size: int | None = None,
    *,
    ours: bool,
) -> tuple[Runner, int]:
    """What calls a denoiser, in the arithmetic that was asked for or suits it, and images at once, likewise.

    ours  whether its code is known, and may be run in ways that change its calls
    """
    calls = sampling.num * sampling.steps
    with foreign("the denoiser"), machine.fitting(batch_size or 1):
        way = execution.choose(
            denoiser, device, dataset.shape, calls, dtype_name, compiling, ours=ours
        )
        runner = Runner(denoiser, way, device)
        size = batch_size or execution.batch_size(runner, dataset.shape, sampling.num)
    runner.batch = min(size, sampling.num)
    return runner, runner.batch


def setup(
    runner: Runner, sampling: SamplingPlan, dataset: Dataset, seed: int, batch_size: int
) -> Setup:
    """How images like those of a dataset are generated by what a runner calls."""
    start = sampling.start
    return Setup(
        runner,
        sampling.sigmas,
        sampling.member,
        seed,
        dataset.shape,
        dataset.pad,
        batch_size,
        sampling.clip,
        runner.device,
        guess=None if start == "noise" else STARTS[start](dataset, seed),
    )


def execute(
    plan: Plan,
    *,
    overwrite: str = "only-missing",
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> Run:
    """Generate and score what is not there, or not as it was written; after a process that does so.

    say       gets lines about what is going on
    progress  is told of each stage; sampling is counted in image-steps

    Raises UsageError (`overwrite` is `never`, or something is in the way of a file);
    FloatingPointError, MemoryError, ChildProcessError or ForeignError when the denoiser fails on
    the way. Finished chunks are kept.
    """
    run = plan.run
    if overwrite == "never" and run.path.exists():
        raise UsageError(f"never was asked for, and {run.path} exists", "--overwrite")
    with run.alone(say):
        if overwrite == "always":
            run.remove()
        run.sweep()
        mending = files.Told(say)
        shape = (plan.sampling.num, *plan.dataset.train.shape[1:])
        images = samples.read(run, shape, mending)
        anew = images is None
        if images is None:
            with begun(plan, progress):
                images = made(plan, say, progress)
        trajectory.write(run, plan.setup(), plan.dataset, plan.sampling.num, mending, progress)
        anew |= record.finish(
            run, images, plan.references, plan.extractor, plan.rules, mending, progress
        )
        if not (anew or mending.anything):
            say(f"complete: {run.path}")
        return run


@contextlib.contextmanager
def begun(plan: Plan, progress: Progress) -> Iterator[None]:
    """Inside, images are generated; a run in which that fails says so in `run.json`."""
    plan.run.begin(plan.facts.to_json())
    progress.expect(durations.expected(plan.dataset, plan.extractor, plan.sampling.num))
    with failing(plan):
        yield


@contextlib.contextmanager
def failing(plan: Plan) -> Iterator[None]:
    """Inside, images are generated; where that fails `run.json` says so, unless others have made them."""
    try:
        yield
    except (FloatingPointError, MemoryError, ChildProcessError, ForeignError) as error:
        if not plan.run.joined:
            plan.run.update(status="failed", error=str(error))
        raise


def made(plan: Plan, say: Say, progress: Progress) -> dict[str, np.ndarray]:
    """All images of a run, those that are missing generated, in its files."""
    there, count = chunks.generate_missing(
        plan.run, plan.setup(), **plan.work(), say=say, progress=progress
    )
    return chunks.join(
        plan.run,
        plan.sampling.num,
        there,
        facts=chunks.here(count, plan.runner.to_json()),
        unconverged=plan.sampling.unconverged,
        in_band=plan.denoiser.spec.in_band,
    )
