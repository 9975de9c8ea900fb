"""One run from names to numbers: resolve everything, generate what is missing, score what is on disk."""

import contextlib
import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import denoisers
from bench import files, machine, runs
from bench.bounds import BOUNDS
from bench.data import datasets
from bench.data.datasets import Dataset
from bench.files import Say
from bench.progress import SILENT, Progress
from bench.runs import Run
from bench.sampling import generation, trajectory, workers
from bench.sampling.plan import SamplingPlan
from bench.sampling.samplers import Step
from bench.sampling.starts import STARTS, Guess
from bench.scoring import durations, extractors, record
from bench.scoring.extractors import Extractor
from bench.scoring.rules import ScoringRules
from denoisers import framing
from denoisers import weights as weights_
from denoisers.base import Denoiser
from denoisers.errors import ForeignError, UsageError, concerning

OVERWRITE = ("only-missing", "always", "never")
NOISE_VERSION = 2  # raise it when the same arguments give other images


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything a run needs, resolved and checked before the first image."""

    denoiser: Denoiser
    dataset: Dataset
    extractor: Extractor
    sampling: SamplingPlan
    seed: int
    device: str
    dtype: torch.dtype
    batch_size: int
    workers: int  # processes; the images do not depend on them
    facts: dict[str, Any]  # run.json, as it is first written
    rules: ScoringRules
    run: Run


def resolve(
    name: str,
    setting: SamplingPlan,
    *,
    weights: str | None = None,
    options: Mapping[str, str] | None = None,
    seed: int = 0,
    dataset_name: str = "mnist",
    data_dir: Path | None = None,
    extractor_name: str = "lenet-a",
    extractor_weights: Path | None = None,
    device: str = "auto",
    dtype_name: str = "auto",
    batch_size: int | None = None,
    worker_count: str = "auto",
    out: Path = Path("results"),
    within: Path | None = None,
) -> Plan:
    """Turn names into things; whatever is wrong with them is said here, before the first image.

    options            keywords of the denoiser's load function
    extractor_weights  file for a network trained on photographs, as `features.load` takes it
    worker_count       processes that generate, "auto" or a number: see `workers.choose`
    within             the folder that the user named, if `out` is one below it: see `runs.Run`

    Raises UsageError about the flag that is wrong, ForeignError if code that is not ours fails.
    """
    options = dict(options or {})
    BOUNDS["seed"].check(seed, "--seed")
    if batch_size is not None:
        BOUNDS["batch-size"].check(batch_size, "--batch-size")
    with concerning("--denoiser"):
        denoisers.registry.find(name)
    device = machine.choose_device(device)
    extractor = extractors.load(extractor_name, extractor_weights, device)
    machine.check_writable(out)
    dataset = datasets.load(dataset_name, data_dir)
    if setting.start == "held-out" and setting.num > len(dataset.held_out):
        raise UsageError(
            f"held-out has {len(dataset.held_out)} digits; found --num {setting.num}", "--start"
        )
    with concerning("--denoiser"):
        found = denoisers.load(name, weights, **datasets.ingredients(lambda: dataset), **options)
    if ":" in setting.sampler:
        generation.rehearse(setting.member, setting.sigmas, dataset.shape, setting.clip)
    found = found.to(device, memory_format=torch.channels_last)
    with concerning("--denoiser"):
        framed = framing.fit(found, dataset.train.shape[1:], dataset.pad, device)
    dtype = machine.choose_dtype(dtype_name, found, device)
    dataset_id = dataset.id
    images = {  # whatever changes the images; run-id and resume depend on it
        "denoiser": name,
        "weights": found.spec.weights,
        "options": options,
        "sampler": setting.to_json(),
        "seed": seed,
        "dataset": dataset_id,
        "dtype": str(dtype).removeprefix("torch."),
        "noise_version": NOISE_VERSION,
    }
    source = denoisers.registry.source(name)
    count = workers.choose(worker_count, device, foreign=bool(source))
    if source:  # code that is not ours, and need not say what its weights are
        given = {
            key: value
            for key, value in {"weights": weights, **options}.items()
            if value is not None
        }
        images |= {
            "source": source,
            "arguments": {key: weights_.content(value) for key, value in given.items()},
        }
    facts = images | {
        "spec": found.spec.to_json(),
        "card": found.card,
        "warnings": [*weights_.warnings(found.card), *framed],
        "out_of_band": sum(not found.spec.in_band(s) for s in setting.sigmas[:-1].tolist())
        / setting.steps,
        "nfe": setting.steps,
        "parameters": sum(p.numel() for p in found.parameters()),
        "device": machine.device_name(device),
        "versions": machine.versions(),
        "commit": machine.commit(),
        "argv": sys.argv[1:],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    short = runs.fingerprint(images)
    run_id = f"{files.slug(setting.sampler)}-{setting.grid}-{setting.steps}steps-n{setting.num}-seed{seed}-{short}"
    size = batch_size or (1024 if device.startswith("cuda") else 128)
    run = Run(out / files.slug(name) / run_id, within or out)
    size = min(size, setting.num)
    rules = record.rules_of(dataset, extractor, setting.num, setting.to_json())
    return Plan(
        found, dataset, extractor, setting, seed, device, dtype, size, count, facts, rules, run
    )


def execute(
    plan: Plan,
    *,
    overwrite: str = "only-missing",
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> Run:
    """Generate and score; or resume; or return at once what is already complete; after a process that does the same.

    What is there is checked, and no more is made again than what is missing or damaged.

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
        samples = run.read_samples((plan.sampling.num, *plan.dataset.train.shape[1:]), mending)
        made = samples is None
        if samples is None:
            run.begin(plan.facts)
            progress.expect(durations.expected(plan.dataset, plan.extractor, plan.sampling.num))
            try:
                samples = generate_missing(plan, say, progress)
            except (FloatingPointError, MemoryError, ChildProcessError, ForeignError) as error:
                run.update(status="failed", error=str(error))
                raise
        write_trajectory(plan, mending, progress)
        made |= record.finish(
            run, samples, plan.dataset, plan.extractor, plan.rules, mending, progress
        )
        if not (made or mending.anything):
            say(f"complete: {run.path}")
        return run


def generate_missing(plan: Plan, say: Say, progress: Progress) -> dict[str, np.ndarray]:
    """Generate the images of which no chunk is on disk, join all of them into `samples.npz` and `trace.csv`.

    The cost is kept in `run.json`: seconds on the clock; seconds in the denoiser, added up over the
    workers; workers.
    """
    run, num, steps = plan.run, plan.sampling.num, plan.sampling.steps
    size = plan.dataset.train.shape[1:]
    stored = run.read_chunks(num, lambda ids: generation.layout(ids, size, steps), say)
    done = sum(map(len, stored))
    if done:
        say(f"resuming: {done} of {num} images are on disk")
    advance = progress.stage("sampling", num * steps, done * steps)
    guess = None if done == num else start_guess(plan)
    missing = generation.missing(generation.chunks(num, plan.batch_size, steps), stored)
    count = max(1, min(plan.workers, len(missing)))
    if count < plan.workers and not done:
        say(
            f"workers: {count} of {plan.workers}, as batches of {plan.batch_size} images are not divided; "
            "a smaller --batch-size makes more"
        )
    last = time.perf_counter()
    with contextlib.closing(
        workers.side_by_side(missing, functools.partial(make_chunk, plan, guess), count, advance)
    ) as found:
        for ids, chunk in found:
            now = time.perf_counter()
            # Since the one before: they add up to the time on the clock.
            chunk["cost"][0], last = now - last, now
            run.write_chunk(ids, chunk)
            stored[ids] = chunk
    chunks = [stored[ids] for ids in sorted(stored, key=lambda ids: ids.start)]
    images, noise_std = (
        np.concatenate([chunk[key] for chunk in chunks]) for key in ("images", "noise_std")
    )
    trace = sum(chunk["trace"] for chunk in chunks)
    trace = trace[trace[:, 0] > 0]  # a sampler may stop early
    table = generation.trace_table(trace)
    outside = [not plan.denoiser.spec.in_band(sigma / images) for images, sigma, *_ in trace]
    seconds, inside, calls = sum(chunk["cost"] for chunk in chunks)
    cost = {
        "seconds": seconds,
        "seconds_per_image": seconds / num,
        "seconds_in_denoiser": inside,
        "workers": count,
    }
    if len(trace):  # one that never calls back leaves the share of the grid, as the run began
        run.update(out_of_band=float(np.average(outside, weights=trace[:, 0])))
    # Before scores add theirs.
    run.update(nfe=calls / num, cost=cost, peak_memory_bytes=machine.peak_memory())
    late = int(sum(chunk["unconverged"] for chunk in chunks))
    run.update(
        unconverged=late, warnings=[*plan.facts["warnings"], *unconverged(late, num, plan.sampling)]
    )
    text = table.to_csv(index_label="step", float_format="%.6g", lineterminator="\n")
    samples = run.write_samples(images, noise_std, text)
    run.clear_chunks()
    return samples


def unconverged(count: int, num: int, setting: SamplingPlan) -> list[str]:
    """A sentence if a sampler that stops by itself ran out of steps."""
    if not count:
        return []
    level = setting.sigmas[-2].item()
    return [
        f"{count} of {num} images had not come down to sigma {level:.3g} when the {setting.steps} steps of "
        f"{setting.sampler} were over; choose more --steps"
    ]


def start_guess(plan: Plan) -> Guess | None:
    """What the images begin from under noise; None for pure noise."""
    return (
        None
        if plan.sampling.start == "noise"
        else STARTS[plan.sampling.start](plan.dataset, plan.seed)
    )


def make_chunk(
    plan: Plan,
    guess: Guess | None,
    ids: range,
    advance: Callable[[int], None] = lambda images: None,
    watch: Callable[[Step], None] = lambda step: None,
) -> dict[str, np.ndarray]:
    """The images `ids`, with trace and cost.

    Raises MemoryError, naming the flag, if a batch is too large.
    """
    make = functools.partial(
        generation.generate,
        plan.denoiser,
        ids,
        plan.sampling.sigmas,
        seed=plan.seed,
        shape=plan.dataset.shape,
        pad=plan.dataset.pad,
        member=plan.sampling.member,
        clip=plan.sampling.clip,
        batch_size=plan.batch_size,
        device=plan.device,
        dtype=plan.dtype,
        guess=guess,
        advance=advance,
        watch=watch,
    )
    return machine.in_memory(plan.batch_size, make)._asdict()


def write_trajectory(plan: Plan, say: Say, progress: Progress = SILENT) -> None:
    """Unless it is there: the first images once more, as they depend on (seed, id) alone, and what lay on their way."""
    run, name = plan.run, "trajectory.npz"
    if len((run.trace() or "").splitlines()) == 1:  # the sampler never says what it does
        return
    if files.read_back(run.path / name, say, name=run.seal(name)) is not None:
        return
    if run.complete and not (run.path / name).exists():
        say(f"{run.path / name} is not there; made again")
    progress.stage("trajectories")
    ids, guess = range(min(trajectory.IDS, plan.sampling.num)), start_guess(plan)
    again = functools.partial(make_chunk, plan, guess, ids)
    found = trajectory.record(
        lambda watch: again(watch=watch), plan.dataset, plan.sampling.steps, plan.seed
    )
    run.write_sealed(name, found)
