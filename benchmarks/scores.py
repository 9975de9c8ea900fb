"""Seconds that scores take, on real digits: neighbours, quality from features, and a whole set; once what is cached is.

make bench    (or: python benchmarks/scores.py 2000, for the images of the whole set)
"""

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from bench.data import datasets
from bench.images import noise_std, to_float
from bench.scoring import control_scores, extractors, fid_kid, measure, prdc
from bench.scoring.prdc import Balls
from bench.scoring.reference import Reference, flat

FEW = 500  # queries that scikit-learn is timed on; its time is proportional to them


def timed(label: str, work: Callable[[], Any], beside: str = "") -> float:
    """Run and print a line; seconds."""
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{label:<58} {seconds:7.1f} s   {memory:.2f} GB so far {beside}", flush=True)
    return seconds


def main(num: int) -> None:
    """The bars of the design: neighbours 15 s and 2 GB, quality 20 s, a set of the standard protocol 60 s."""
    dataset = datasets.load("mnist")
    against = Reference(dataset, extractors.load("lenet-a"))
    queries = flat(dataset.held_out)
    ours = timed(
        "index, and 2 neighbours of 10000 among 60000", lambda: against.pixels.nearest(queries, 2)
    )
    timed("50 neighbours of 10000 among 60000", lambda: against.pixels.nearest(queries, 50))
    brute = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(
        flat(dataset.train).astype(np.float32)
    )
    theirs = timed(
        f"scikit-learn, brute force, {FEW} queries",
        lambda: brute.kneighbors(queries[:FEW].astype("f4")),
    )
    print(
        f"ours is {theirs * len(queries) / FEW / ours:.1f} times as fast as scikit-learn's, its time scaled up"
    )
    found = against.extractor.features(dataset.held_out)
    _ = against.kid, against.moments, against.balls(len(found))

    def quality() -> None:
        fid_kid.fid(against.moments, found)
        fid_kid.kid(against.kid, found)
        prdc.overlap(against.balls(len(found)), Balls.of(found))

    timed("FID, KID, precision, recall, density, coverage of 10000", quality)
    second = Reference(dataset, extractors.load("lenet-b"))
    images = dataset.held_out[:num]
    left = noise_std(to_float(images, dataset.pad)).numpy()
    _ = second.kid, second.moments, against.null
    controls = control_scores.measured(against, num, control_scores.names(num))
    timed(
        f"all scores of {num} images",
        lambda: measure.score(images, left, against, second, controls),
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
