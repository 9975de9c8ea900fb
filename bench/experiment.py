"""One run from names to numbers: resolve everything, generate what is missing, score what is on disk."""

import dataclasses
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import bench
import denoisers
from bench import data, features, figures, generate, protocol, score
from bench.data import Dataset
from bench.features import Extractor
from bench.protocol import Protocol
from bench.runs import Run
from denoisers.base import Denoiser
from denoisers.schedule import GRIDS

TRACE = ["sigma", "sigma_hat", "mean", "std", "clipped"]
OVERWRITE = ("only-missing", "always", "never")
NOISE_VERSION = 1  # raise it when noise.py or sampler.py gives other images for the same arguments

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything a run needs, resolved and checked before the first image."""

    denoiser: Denoiser
    dataset: Dataset
    extractor: Extractor
    protocol: Protocol
    sigmas: Tensor
    seed: int
    device: str
    dtype: torch.dtype
    batch_size: int
    facts: dict[str, Any]  # run.json, as it is first written
    run: Run


def run(
    denoiser: str,
    setting: Protocol,
    *,
    weights: str | None = None,
    options: Mapping[str, str] = {},
    seed: int = 0,
    dataset: str = "mnist",
    data_dir: Path | None = None,
    extractor: str = "lenet-a",
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int | None = None,
    out: Path = Path("results"),
    overwrite: str = "only-missing",
    say: Say = lambda line: None,
    progress: Callable[[int, int], Callable[[int], None]] = lambda done, total: lambda images: None,
) -> Run:
    """Generate and score, or resume, or return what is already complete.

    options   keywords of the denoiser's load function
    say       gets lines about what is going on
    progress  progress(done, total), in image-steps, returns what is called with each advance

    Raises LookupError, TypeError, ValueError, OSError for what is wrong with the arguments or on disk, before the
    first image; FloatingPointError or MemoryError when the denoiser fails on the way. Finished chunks are kept.
    """
    plan = resolve(
        denoiser, setting, weights, options, seed, dataset, data_dir, extractor, device, dtype, batch_size, out
    )
    folder = plan.run
    if overwrite == "never" and folder.path.exists():
        raise FileExistsError(f"{folder.path} exists, and --overwrite never was asked for")
    if overwrite == "always":
        folder.remove()
    if is_scored(plan):
        say(f"complete: {folder.path}")
        return folder
    samples = folder.read_npz("samples.npz")
    if samples is None or not folder.readable:
        folder.begin(plan.facts)
    if samples is None:
        try:
            samples = generate_missing(plan, say, progress)
        except (FloatingPointError, MemoryError) as error:
            folder.update(status="failed", error=str(error))
            raise
    say("scoring")
    finish(plan, samples["arr_0"][..., 0])
    return folder


def resolve(
    name: str,
    setting: Protocol,
    weights: str | None,
    options: Mapping[str, str],
    seed: int,
    dataset_name: str,
    data_dir: Path | None,
    extractor_name: str,
    device: str,
    dtype_name: str,
    batch_size: int | None,
    out: Path,
) -> Plan:
    """Turn names into things; whatever is wrong with them is said here."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"--seed must lie in 0..2^63-1; found {seed}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"--batch-size must be at least 1; found {batch_size}")
    denoisers.registry.loader(name)
    extractor = features.load(extractor_name)
    device = choose_device(device)
    check_writable(out)
    dataset = data.load(dataset_name, data_dir)
    found = denoisers.load(name, weights, train=lambda: data.to_float(dataset.train, dataset.pad), **options)
    found = found.to(device, memory_format=torch.channels_last)
    dtype = choose_dtype(dtype_name, found, device)
    sigmas = GRIDS[setting.grid](setting.steps)
    images = {  # whatever changes the images; run-id and resume depend on it
        "denoiser": name,
        "weights": found.spec.weights,
        "options": dict(options),
        "sampler": setting.to_json(),
        "seed": seed,
        "dataset": f"{dataset.name}@{dataset.digest}",
        "dtype": str(dtype).removeprefix("torch."),
        "noise_version": NOISE_VERSION,
    }
    scoring = protocol.scoring(dataset.name, dataset.digest, extractor.name, extractor.digest)
    facts = images | {
        "spec": found.spec.to_json(),
        "card": found.card,
        "scoring": scoring,
        "fingerprint": protocol.fingerprint([setting.to_json(), scoring]),
        "out_of_band": sum(not found.spec.in_band(s) for s in sigmas[:-1].tolist()) / setting.steps,
        "nfe": setting.steps,
        "parameters": sum(p.numel() for p in found.parameters()),
        "device": device_name(device),
        "versions": versions(),
        "commit": commit(),
        "argv": sys.argv[1:],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    short = protocol.fingerprint(images)
    run_id = f"{setting.sampler}-{setting.grid}-{setting.steps}steps-n{setting.num}-seed{seed}-{short}"
    size = batch_size or (1024 if device.startswith("cuda") else 128)
    run = Run(out / name / run_id)
    return Plan(found, dataset, extractor, setting, sigmas, seed, device, dtype, min(size, setting.num), facts, run)


def is_scored(plan: Plan) -> bool:
    """Whether the run is complete under the scoring asked for; the same images may have been scored otherwise."""
    return plan.run.complete and plan.run.read_json("metrics.json").get("fingerprint") == plan.facts["fingerprint"]


def generate_missing(
    plan: Plan, say: Say, progress: Callable[[int, int], Callable[[int], None]]
) -> dict[str, np.ndarray]:
    """Generate the chunks that are not on disk, join all of them into `samples.npz` and `trace.csv`."""
    run, setting = plan.run, plan.protocol
    ranges = generate.chunks(setting.num, plan.batch_size)
    stored = {ids: run.read_npz(run.chunk_name(ids)) for ids in ranges}
    done = sum(len(ids) for ids in ranges if stored[ids])
    if done:
        say(f"resuming: {done} of {setting.num} images are on disk")
    advance = progress(done * setting.steps, setting.num * setting.steps)
    for ids in ranges:
        if stored[ids] is None:
            chunk = in_memory(
                plan.batch_size,
                lambda ids=ids: generate.generate(
                    plan.denoiser,
                    ids,
                    plan.sigmas,
                    seed=plan.seed,
                    shape=plan.dataset.shape,
                    pad=plan.dataset.pad,
                    eta=setting.eta,
                    variance=setting.variance,
                    clip=setting.clip,
                    batch_size=plan.batch_size,
                    device=plan.device,
                    dtype=plan.dtype,
                    advance=advance,
                ),
            )
            stored[ids] = chunk._asdict()
            run.write_npz(run.chunk_name(ids), **stored[ids])
    chunks = [stored[ids] for ids in ranges]
    ids, images = (np.concatenate([chunk[key] for chunk in chunks]) for key in ("ids", "images"))
    trace = sum(chunk["trace"] * len(chunk["ids"]) for chunk in chunks) / setting.num
    seconds, inside = sum(chunk["cost"] for chunk in chunks)
    write_trace(run, plan.sigmas, trace)
    run.update(cost={"seconds": seconds, "seconds_per_image": seconds / setting.num, "seconds_in_denoiser": inside})
    samples = {"arr_0": images[..., None], "ids": ids}
    run.write_npz("samples.npz", **samples)
    run.clear_chunks()
    return samples


def write_trace(run: Run, sigmas: Tensor, trace: np.ndarray) -> None:
    """Per step: sigma, the RMS of the residual, mean and std of the state, share of |D| > 1."""
    residual, mean, square, clipped = trace.T
    columns = (sigmas[:-1].numpy(), np.sqrt(residual), mean, np.sqrt(np.maximum(square - mean**2, 0)), clipped)
    frame = pd.DataFrame(dict(zip(TRACE, columns, strict=True)))
    run.write("trace.csv", lambda file: frame.to_csv(file, index_label="step", float_format="%.6g"))


def finish(plan: Plan, images: np.ndarray) -> None:
    """Score the images, write the sheets, and `metrics.json` last."""
    run = plan.run
    scores, rows = score.score(images, plan.dataset, plan.extractor)
    run.write("per_sample.csv", lambda file: rows.to_csv(file, index=False, float_format="%.6g"))
    neighbours = plan.dataset.train[rows["nearest"]]
    run.write("grid.png", lambda file: figures.grid(images, file))
    run.write("nearest.png", lambda file: figures.nearest(images, neighbours, rows["ratio"].to_numpy(), file))
    keys = ("scoring", "fingerprint")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    run.update(status="finished", peak_memory_bytes=peak, **{key: plan.facts[key] for key in keys})
    run.write_json("metrics.json", {"fingerprint": plan.facts["fingerprint"], **scores})


def in_memory(batch_size: int, work: Callable[[], Any]) -> Any:
    """`work()`, with every kind of exhausted memory turned into a MemoryError that names the flag."""
    try:
        return work()
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if (
            isinstance(error, RuntimeError)
            and "allocate memory" not in str(error)
            and "out of memory" not in str(error)
        ):
            raise
        raise MemoryError(
            f"a batch of {batch_size} images does not fit into memory; choose a smaller --batch-size"
        ) from None


def choose_device(name: str) -> str:
    """`auto` is the first of cuda, mps and cpu that is there."""
    there = ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    if name == "auto":
        return there[0]
    if name.split(":", maxsplit=1)[0] not in there:
        raise ValueError(f"no device {name!r} on this machine; available: {', '.join(there)} (--device)")
    return name


def choose_dtype(name: str, denoiser: Denoiser, device: str) -> torch.dtype:
    """`auto` is bfloat16 for networks where the processor has instructions for it. Closed forms stay float32."""
    if name not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"unknown dtype {name!r}; available: auto, float32, bfloat16 (--dtype)")
    if name == "float32" or not denoiser.spec.weights:
        return torch.float32
    fast = torch.cuda.is_bf16_supported() if device.startswith("cuda") else torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast or name == "bfloat16" else torch.float32


def device_name(device: str) -> str:
    """The device with the name of its processor."""
    return f"{device} ({torch.cuda.get_device_name(device) if device.startswith('cuda') else platform.machine()})"


def check_writable(out: Path) -> None:
    """Raise OSError, naming the flag, if nothing can be written into `out`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(f"cannot write into {out}: {error.strerror} (--out)") from None


def versions() -> dict[str, str]:
    """Of everything that decides a number."""
    names = ("torch", "torchvision", "torchmetrics", "numpy", "scikit-learn")
    return {"bench": bench.__version__, "python": platform.python_version(), **{name: version(name) for name in names}}


def commit() -> str | None:
    """The commit of the checkout this code runs from, with `-dirty` if it was changed; None outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return None
    where = Path(__file__).parent
    answer = subprocess.run(
        [git, "-C", str(where), "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or None
