"""Scores of a set of images, each beside the same score of held-out images."""

from typing import Any

import numpy as np
import pandas as pd

from bench import features, memorization, metrics
from bench.data import Dataset, to_float
from bench.features import Extractor
from bench.memorization import Neighbours
from bench.noise import level

Scores = dict[str, Any]


def score(
    images: np.ndarray, noise_std: np.ndarray, dataset: Dataset, extractor: Extractor
) -> tuple[Scores, pd.DataFrame]:
    """All numbers of uint8 images (N, H, W), and one row per image.

    noise_std  (N,), white noise left in each, as `generate` measured it

    The control is as many held-out images, or all of them if there are fewer; its scores have the same names and
    stand under `controls.held_out`.
    """
    control = dataset.held_out[: len(images)]
    neighbours = memorization.nearest(images, dataset.train)
    control_neighbours = Neighbours(*(values[: len(control)] for values in features.held_out_neighbours(dataset)))
    raw, kid_reference = features.reference(dataset, extractor)

    def measure(
        images: np.ndarray, neighbours: Neighbours, noise_std: np.ndarray
    ) -> tuple[Scores, np.ndarray, np.ndarray]:
        found = extractor.features(images)
        kid = metrics.kid(kid_reference, found)
        classes, confidence = features.classify(images)
        copies = memorization.copy_rate(neighbours)
        n = len(images)
        values = {
            "fid": entry(metrics.fid(raw, found), n, higher_is_better=False),
            "kid": entry(kid.value, n, stderr=kid.stderr, higher_is_better=False),
            "confidence": entry(
                confidence.mean(), n, stderr=confidence.std(ddof=1) / np.sqrt(n), higher_is_better=True
            ),
            "copy_rate": entry(copies.value, n, ci95=(copies.low, copies.high), higher_is_better=False),
            "noise_std": entry(np.median(noise_std), n, higher_is_better=False),
            "d1_median": entry(np.median(neighbours.d1), n, higher_is_better=None),
            "class_histogram": np.bincount(classes, minlength=10).tolist(),
        }
        return values, classes, confidence

    scores, classes, confidence = measure(images, neighbours, noise_std)
    control_noise = level(to_float(control, dataset.pad)).numpy()
    scores["controls"] = {"held_out": measure(control, control_neighbours, control_noise)[0]}
    rows = pd.DataFrame(
        {"id": np.arange(len(images)), "class": classes, "confidence": confidence, "nearest": neighbours.index}
    )
    return scores, rows.assign(d1=neighbours.d1, d2=neighbours.d2, ratio=neighbours.ratio, noise_std=noise_std)


def entry(
    value: float,
    n: int,
    *,
    higher_is_better: bool | None,
    stderr: float | None = None,
    ci95: tuple[float, float] | None = None,
) -> Scores:
    """A number with its conditions; the interval follows from the standard error unless it is given."""
    if stderr is not None and ci95 is None:
        ci95 = (value - 1.96 * stderr, value + 1.96 * stderr)
    return {
        "value": float(value),
        "stderr": None if stderr is None else float(stderr),
        "ci95": None if ci95 is None else [float(bound) for bound in ci95],
        "n": n,
        "higher_is_better": higher_is_better,
    }
