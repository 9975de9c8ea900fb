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
from bench import data, features, files, framing, generate, machine, protocol, scoring, trajectory, workers
from bench.bounds import BOUNDS
from bench.data import Dataset
from bench.features import Extractor
from bench.files import Say
from bench.protocol import Protocol
from bench.runs import Run
from bench.sampler import Step
from bench.starts import STARTS, Guess
from denoisers import weights as weights_
from denoisers.base import Denoiser
from denoisers.errors import ForeignError, UsageError, concerning

OVERWRITE = ("only-missing", "always", "never")
NOISE_VERSION = 2  # raise it when the same arguments give other images

Progress = Callable[[int, int], Callable[[int], None]]


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything a run needs, resolved and checked before the first image."""

    denoiser: Denoiser
    dataset: Dataset
    extractor: Extractor
    protocol: Protocol
    seed: int
    device: str
    dtype: torch.dtype
    batch_size: int
    workers: int  # processes; the images do not depend on them
    facts: dict[str, Any]  # run.json, as it is first written
    rules: dict[str, Any]  # of scoring: see `scoring.protocol_of`
    run: Run


def resolve(
    name: str,
    setting: Protocol,
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
) -> Plan:
    """Turn names into things; whatever is wrong with them is said here, before the first image.

    options            keywords of the denoiser's load function
    extractor_weights  file for a network trained on photographs, as `features.load` takes it
    worker_count       processes that generate, "auto" or a number: see `workers.choose`

    Raises UsageError about the flag that is wrong, ForeignError if code that is not ours fails.
    """
    options = dict(options or {})
    BOUNDS["seed"].check(seed, "--seed")
    if batch_size is not None:
        BOUNDS["batch-size"].check(batch_size, "--batch-size")
    with concerning("--denoiser"):
        denoisers.registry.find(name)
    device = machine.choose_device(device)
    extractor = features.load(extractor_name, extractor_weights, device)
    machine.check_writable(out)
    dataset = data.load(dataset_name, data_dir)
    if setting.start == "held-out" and setting.num > len(dataset.held_out):
        raise UsageError(f"held-out has {len(dataset.held_out)} digits; found --num {setting.num}", "--start")
    with concerning("--denoiser"):
        found = denoisers.load(name, weights, **data.ingredients(lambda: dataset), **options)
    if ":" in setting.sampler:
        generate.rehearse(setting.member, setting.sigmas, dataset.shape, setting.clip)
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
        given = {key: value for key, value in {"weights": weights, **options}.items() if value is not None}
        images |= {"source": source, "arguments": {key: weights_.content(value) for key, value in given.items()}}
    facts = images | {
        "spec": found.spec.to_json(),
        "card": found.card,
        "warnings": [*weights_.warnings(found.card), *framed],
        "out_of_band": sum(not found.spec.in_band(s) for s in setting.sigmas[:-1].tolist()) / setting.steps,
        "nfe": setting.steps,
        "parameters": sum(p.numel() for p in found.parameters()),
        "device": machine.device_name(device),
        "versions": machine.versions(),
        "commit": machine.commit(),
        "argv": sys.argv[1:],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    short = protocol.fingerprint(images)
    run_id = f"{files.slug(setting.sampler)}-{setting.grid}-{setting.steps}steps-n{setting.num}-seed{seed}-{short}"
    size = batch_size or (1024 if device.startswith("cuda") else 128)
    run = Run(out / files.slug(name) / run_id)
    size = min(size, setting.num)
    rules = scoring.protocol_of(dataset, extractor, setting.num, setting.to_json())
    return Plan(found, dataset, extractor, setting, seed, device, dtype, size, count, facts, rules, run)


def execute(
    plan: Plan,
    *,
    overwrite: str = "only-missing",
    say: Say = lambda line: None,
    progress: Progress = lambda done, total: lambda images: None,
) -> Run:
    """Generate and score; or resume; or return at once what is already complete; after a process that does the same.

    say       gets lines about what is going on
    progress  progress(done, total), in image-steps, returns what is called with each advance

    Raises UsageError (`overwrite` is `never`, or something is in the way of a file); FloatingPointError, MemoryError,
    ChildProcessError or ForeignError when the denoiser fails on the way. Finished chunks are kept.
    """
    run = plan.run
    if overwrite == "never" and run.path.exists():
        raise UsageError(f"never was asked for, and {run.path} exists", "--overwrite")
    with run.alone(say):
        if overwrite == "always":
            run.remove()
        run.sweep()
        samples = run.read_samples((plan.protocol.num, *plan.dataset.train.shape[1:]), say)
        if samples is not None and scoring.is_scored(run, plan.rules, say):
            say(f"complete: {run.path}")
            return run
        if samples is None:
            run.begin(plan.facts)
            try:
                samples = generate_missing(plan, say, progress)
            except (FloatingPointError, MemoryError, ChildProcessError, ForeignError) as error:
                run.update(status="failed", error=str(error))
                raise
        write_trajectory(plan, say)
        images = samples["arr_0"][..., 0]
        scoring.finish(run, images, samples["noise_std"], plan.dataset, plan.extractor, plan.rules, say)
        return run


def generate_missing(plan: Plan, say: Say, progress: Progress) -> dict[str, np.ndarray]:
    """Generate the chunks that are not on disk, join all of them into `samples.npz` and `trace.csv`.

    The cost is kept in `run.json`: seconds on the clock; seconds in the denoiser, added up over the workers; workers.
    """
    run, num, steps = plan.run, plan.protocol.num, plan.protocol.steps
    ranges = generate.chunks(num, plan.batch_size)
    size = plan.dataset.train.shape[1:]
    stored = {ids: run.read_chunk(ids, generate.layout(ids, size, steps), say) for ids in ranges}
    done = sum(len(ids) for ids in ranges if stored[ids])
    if done:
        say(f"resuming: {done} of {num} images are on disk")
    advance = progress(done * steps, num * steps)
    guess = None if done == num else start_guess(plan)
    missing = [ids for ids in ranges if stored[ids] is None]
    count = max(1, min(plan.workers, len(missing)))
    last = time.perf_counter()
    with contextlib.closing(
        workers.side_by_side(missing, functools.partial(make_chunk, plan, guess), count, advance)
    ) as found:
        for ids, chunk in found:
            now = time.perf_counter()
            chunk["cost"][0], last = now - last, now  # since the one before: they add up to the time on the clock
            run.write_chunk(ids, chunk)
            stored[ids] = chunk
    chunks = [stored[ids] for ids in ranges]
    images, noise_std = (np.concatenate([chunk[key] for chunk in chunks]) for key in ("images", "noise_std"))
    trace = sum(chunk["trace"] for chunk in chunks)
    trace = trace[trace[:, 0] > 0]  # a sampler may stop early
    table = generate.trace_table(trace)
    run.write("trace.csv", lambda file: table.to_csv(file, index_label="step", float_format="%.6g"))
    outside = [not plan.denoiser.spec.in_band(sigma / images) for images, sigma, *_ in trace]
    seconds, inside, calls = sum(chunk["cost"] for chunk in chunks)
    cost = {"seconds": seconds, "seconds_per_image": seconds / num, "seconds_in_denoiser": inside, "workers": count}
    if len(trace):  # one that never calls back leaves the share of the grid, as the run began
        run.update(out_of_band=float(np.average(outside, weights=trace[:, 0])))
    run.update(nfe=calls / num, cost=cost, peak_memory_bytes=machine.peak_memory())  # before scores add theirs
    late = int(sum(chunk["unconverged"] for chunk in chunks))
    run.update(unconverged=late, warnings=[*plan.facts["warnings"], *unconverged(late, num, plan.protocol)])
    samples = run.write_samples(images, noise_std)
    run.clear_chunks()
    return samples


def unconverged(count: int, num: int, setting: Protocol) -> list[str]:
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
    return None if plan.protocol.start == "noise" else STARTS[plan.protocol.start](plan.dataset, plan.seed)


def make_chunk(
    plan: Plan,
    guess: Guess | None,
    ids: range,
    advance: Callable[[int], None] = lambda images: None,
    watch: Callable[[Step], None] = lambda step: None,
) -> dict[str, np.ndarray]:
    """The images `ids`, with trace and cost. Raises MemoryError, naming the flag, if a batch is too large."""
    make = functools.partial(
        generate.generate,
        plan.denoiser,
        ids,
        plan.protocol.sigmas,
        seed=plan.seed,
        shape=plan.dataset.shape,
        pad=plan.dataset.pad,
        member=plan.protocol.member,
        clip=plan.protocol.clip,
        batch_size=plan.batch_size,
        device=plan.device,
        dtype=plan.dtype,
        guess=guess,
        advance=advance,
        watch=watch,
    )
    return machine.in_memory(plan.batch_size, make)._asdict()


def write_trajectory(plan: Plan, say: Say) -> None:
    """Unless it is there: the first images once more, as they depend on (seed, id) alone, and what lay on their way."""
    path, name = plan.run.path / "trajectory.npz", f"{plan.run.id} trajectory.npz"
    if files.read_back(path, say, name=name) is not None:
        return
    ids, guess = range(min(trajectory.IDS, plan.protocol.num)), start_guess(plan)
    again = functools.partial(make_chunk, plan, guess, ids)
    found = trajectory.record(lambda watch: again(watch=watch), plan.dataset, plan.protocol.steps, plan.seed)
    if found:
        files.write_sealed(path, name, found)
