"""The images of a run, chunk by chunk: those that are missing are made, all or a shard's, and joined."""

import contextlib
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bench import machine, samples
from bench.files import Say
from bench.progress import SILENT, Progress
from bench.runs import Run
from bench.sampling import generation, workers
from bench.sampling.generation import Setup
from bench.shards import Shard

Chunks = dict[range, dict[str, np.ndarray]]  # by ids: see `generation.Chunk`


def generate_missing(
    run: Run,
    setup: Setup,
    num: int,
    size: tuple[int, ...],
    *,
    processes: int = 1,
    shard: Shard = Shard(),
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> tuple[Chunks, int]:
    """Make the images of which no chunk is on disk; all that is there then, and how many processes made them.

    num, size  how many images there are in all, of (H, W) pixels or (H, W, 3) values
    processes  at most
    """
    steps = len(setup.sigmas) - 1
    every = generation.chunks(num, setup.batch_size, steps)
    wanted = shard.of(every)
    if not wanted:
        say(
            f"shard {shard} has nothing to do, as batches of {setup.batch_size} images make {len(every)} parts; "
            "a smaller --batch-size makes more"
        )
    stored = on_disk(run, num, steps, size, say, wanted)
    missing = generation.missing(wanted, stored)
    whole, left = sum(map(len, wanted)), sum(map(len, missing))
    done = whole - left
    if 0 < done < whole:
        say(f"resuming: {done} of {whole} images are on disk")
    advance = progress.stage("sampling", whole * steps, done * steps)
    count = max(1, min(processes, len(missing)))
    if wanted and count < processes and not done:
        say(
            f"workers: {count} of {processes}, as batches of {setup.batch_size} images are "
            "not divided; a smaller --batch-size makes more"
        )
    work = functools.partial(generation.generate, setup) if missing else None
    previous = time.perf_counter()
    with contextlib.closing(workers.side_by_side(missing, work, count, advance)) as finished:
        for ids, chunk in finished:
            now = time.perf_counter()
            # Wall time between chunks, so that the sum is the time elapsed.
            chunk.cost[0] = now - previous
            previous = now
            stored[ids] = chunk._asdict()
            run.write_chunk(ids, stored[ids])
    return stored, count


def on_disk(
    run: Run,
    num: int,
    steps: int,
    size: tuple[int, ...],
    say: Say,
    among: Sequence[range] | None = None,
) -> Chunks:
    """The chunks that are there, of images of (H, W) pixels or (H, W, 3) values: all, or those of some images."""
    return run.read_chunks(num, lambda ids: generation.layout(ids, size, steps), say, among)


def some_unconverged(count: int) -> list[str]:
    """A sentence if there are any."""
    return [f"{count} images had not come down when their steps were over"] if count else []


def here(count: int, execution: Mapping[str, Any]) -> dict[str, Any]:
    """What this process knows of the images that it made with `count` processes, for `run.json`."""
    peak = machine.peak_memory()  # before scores add theirs
    return {"workers": count, "peak_memory_bytes": peak, "execution": execution}


def join(
    run: Run,
    num: int,
    chunks: Chunks,
    *,
    facts: Mapping[str, Any] | None = None,
    unconverged: Callable[[int], list[str]] = some_unconverged,
    in_band: Callable[[float], bool] | None = None,
) -> dict[str, np.ndarray]:
    """All `num` images, in their order, as the files of a run that has begun; and what they cost, in `run.json`.

    facts        what only the process that generated them knows: see `here`
    unconverged  in words, how many images were not done when their steps were over
    in_band      whether the denoiser was trained at a level; else what the run said as it began
                 stays, which is of the grid
    """
    parts = [chunks[ids] for ids in sorted(chunks, key=lambda ids: ids.start)]
    images = np.concatenate([part["images"] for part in parts])
    noise_left = np.concatenate([part["noise_std"] for part in parts])
    trace = sum(part["trace"] for part in parts)
    trace = trace[trace[:, 0] > 0]  # a sampler may stop early
    seconds, in_denoiser, calls = sum(part["cost"] for part in parts)
    late = int(sum(part["unconverged"] for part in parts))
    known, doubts = run.read_json("run.json").get("warnings") or [], unconverged(late)
    cost = {
        "seconds": seconds,  # added up over the shards
        "seconds_per_image": seconds / num,
        "seconds_in_denoiser": in_denoiser,  # added up over the workers, too
    }
    whole: dict[str, Any] = {
        "nfe": calls / num,
        "cost": cost,
        "unconverged": late,
        "warnings": [*(line for line in known if line not in doubts), *doubts],
    }
    if facts is not None:
        whole["cost"] |= {"workers": facts["workers"]}
        whole |= {name: value for name, value in facts.items() if name != "workers"}
    if in_band is not None and len(trace):  # a sampler that never calls back leaves it, too
        whole["out_of_band"] = generation.out_of_band(in_band, trace)
    run.update(**whole)
    table = generation.trace_table(trace)
    text = table.to_csv(index_label="step", float_format="%.6g", lineterminator="\n")
    stored = samples.write(run, images, noise_left, text)
    run.clear_chunks()
    return stored
