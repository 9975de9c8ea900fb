"""Seconds that each stage of the scores takes, on real digits, on a device; once what is kept between runs is made.

make bench    (or: python benchmarks/scores.py --num 2000 10000 --device cuda)
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors

from bench.data import datasets
from bench.images import noise_std, to_float
from bench.scoring import control_scores, extractors, fid_kid, guard, measure, memorization, prdc
from bench.scoring.nearest import Index
from bench.scoring.prdc import Balls
from bench.scoring.reference import Reference, flat

FEW = 200  # queries that scikit-learn is timed on; its time is proportional to them


def seconds(label: str, work: Callable[[], Any], device: str, beside: float | None = None) -> float:
    """Run and print a line: seconds, their ratio to others in the same run, and memory."""
    waits = device.startswith("cuda")
    start = time.perf_counter()
    work()
    if waits:
        torch.cuda.synchronize()
    found = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    held = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GB of the GPU" if waits else ""
    ratio = "" if beside is None else f"{beside / found:8.1f} x"
    print(f"{label:<50} {found:8.2f} s {ratio:>10}   {memory:.1f} GB{held}", flush=True)
    return found


def by_others(index: np.ndarray, queries: np.ndarray) -> float:
    """Seconds that scikit-learn, by brute force on the CPU, needs for all queries: scaled up from FEW."""
    brute = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(index.astype(np.float32))
    start = time.perf_counter()
    brute.kneighbors(queries[:FEW].astype(np.float32))
    return (time.perf_counter() - start) * len(queries) / FEW


def stages(against: Reference, second: Reference, images: np.ndarray, device: str) -> None:
    """A line for each stage; those of neighbours beside scikit-learn's plain search for as many queries."""
    n, queries = len(images), flat(images)
    theirs = by_others(flat(against.dataset.train), queries)
    print(
        f"\n{n} images on {device}; scikit-learn would find 2 neighbours of each in {theirs:.1f} s"
    )
    extract = against.extractor.features
    extract(images[:FEW])  # what a device does once
    found = extract(images)
    seconds("features", lambda: extract(images), device)
    seconds("classes", lambda: extractors.classify(images, device=device), device)
    seconds("FID", lambda: fid_kid.fid(against.moments, found, device), device)
    seconds("FID at infinity", lambda: fid_kid.fid_infinity(against.moments, found, device), device)
    replicates = fid_kid.fid_replicates
    seconds(
        "FID, its replicates",
        lambda: replicates(against.moments, against.features, found, device),
        device,
    )
    seconds("KID", lambda: fid_kid.kid(against.kid, found, device), device)
    real = against.balls(n)
    seconds(
        "precision, recall, density, coverage",
        lambda: prdc.overlap(real, Balls.of(found, device), device),
        device,
    )
    pixels, guarded = against.spaces.pixels, against.spaces.guarded
    searches = {
        "2 neighbours": lambda: pixels.nearest(queries, 2),
        "50 neighbours": lambda: pixels.nearest(queries, 50),
        "neighbours of 25 shifts": lambda: pixels.nearest(memorization.shifted(images), 2),
        "neighbours under the guard": lambda: guarded.nearest(flat(guard.guarded(images)), 2),
        "neighbours in features": lambda: against.spaces.features.nearest(found, 2),
        "neighbours of training images": lambda: pixels.alone(np.arange(n)),
    }
    for label, search in searches.items():
        seconds(label, search, device, theirs)
    left = noise_std(to_float(images, against.dataset.pad)).numpy()
    # Of this many images the held-out control alone: the others do not change the time.
    controls = control_scores.measured(against, n, (control_scores.HELD_OUT,))
    seconds(
        f"all scores of {n} images",
        lambda: measure.score(images, left, against, second, controls),
        device,
        theirs,
    )


def main(nums: list[int], device: str) -> None:
    """What a first run waits for, then the stages for each number of images."""
    dataset = datasets.load("mnist")
    against, second = (
        Reference(dataset, extractors.load(name, device=device)) for name in ("lenet-a", "lenet-b")
    )
    train = flat(dataset.train)
    seconds("index of the training images", lambda: Index.of(train, device), device)
    extract = against.extractor.features
    seconds("features of the training images", lambda: extract(dataset.train), device)
    rows = against.kid.features
    seconds("their half of KID", lambda: fid_kid.kernel_sums(rows, device), device)
    held_out = dataset.held_out
    seconds(
        "distances of held-out images", lambda: against.distances(held_out, shifts=False), device
    )
    _ = second.kid, second.moments, against.moments, against.null
    for num in nums:
        stages(against, second, held_out[:num], device)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, nargs="+", default=[2000])
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    main(given.num, given.device)
