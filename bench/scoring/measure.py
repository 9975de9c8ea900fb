"""Scores of a set of images, each beside the same score of the control panel."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from bench.progress import Advance
from bench.scoring import (
    control_sets,
    extractors,
    fid_kid,
    memorization,
    nearest,
    prdc,
    reference,
    uncertainty,
)
from bench.scoring.memorization import Distances
from bench.scoring.prdc import Balls
from bench.scoring.reference import Reference
from bench.scoring.uncertainty import Estimate, Rate, Statistic
from denoisers.errors import UsageError

# Raise it when `measure` or anything it calls in manifold, memorization or uncertainty changes.
VERSION = 2
VERSIONS = (
    "-".join(str(part.VERSION) for part in (reference, fid_kid, nearest, control_sets))
    + f"-{VERSION}"
)
AMBIGUOUS = 0.7  # confidence below which a digit counts as mixed
WORK = 100  # what `score` advances by in all: about the hundredths of its time, with 2000 images
SEARCHED = 500  # images of each control, other than held-out ones, whose neighbours are searched
HIGHER = {
    "precision": True,
    "recall": True,
    "coverage": True,
    "classifier_score": True,
    "confidence": True,
}
# Is better.
NEITHER = ("density", "cosine_distance", "d1_median", "authpct", "authpct_excess", "auc", "ct")
HIGHER |= dict.fromkeys(NEITHER)

Scores = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Measured:
    """One set of images: entries by name, bootstrap values by name, one row per image."""

    scores: Scores
    memorization: dict[str, Scores]
    class_histogram: list[int]
    replicates: dict[str, np.ndarray]
    rows: pd.DataFrame
    verdict: dict[str, str]

    def to_json(self) -> Scores:
        """What `metrics.json` holds of it."""
        names = ("scores", "memorization", "class_histogram", "verdict")
        return {name: getattr(self, name) for name in names}


def score(
    images: np.ndarray,
    noise_std: np.ndarray,
    against: Reference,
    second: Reference,
    controls: dict[str, Scores],
    advance: Advance = lambda steps: None,
) -> tuple[Scores, dict[str, np.ndarray], pd.DataFrame]:
    """All numbers of uint8 images (N, H, W), N >= 6: as JSON; their bootstrap values; one row per image.

    noise_std  (N,), white noise left in each, as `generate` measured it
    second     the same dataset seen through another extractor, to tell a finding from an artefact
               of the first
    controls   scores of control sets of as many images, or of all there are, by name; `held_out`
               among them
    advance    is called with shares of WORK
    """
    usual = controls["held_out"]["scores"]["cosine_distance"]["value"]
    found = measure(images, noise_std, against, typical=usual, advance=advance)
    other = second.extractor.features(images)
    also = {"features": second.extractor.id}
    also |= frechet_and_kernel(other, second, bootstrap=False)[0]
    advance(10)
    return found.to_json() | {"second": also, "controls": controls}, found.replicates, found.rows


def measure(
    images: np.ndarray,
    noise_std: np.ndarray,
    against: Reference,
    *,
    typical: float | None = None,
    searched: int | None = None,
    bootstrap: bool = True,
    advance: Advance = lambda steps: None,
) -> Measured:
    """Quality and memorization of uint8 images (N, H, W).

    typical    cosine_distance of held-out images, below half of which MiFID punishes; None for
               these themselves
    searched   how many images' neighbours are searched; all of them by default
    bootstrap  whether FID gets an error; it costs more than all the rest
    """
    probabilities = extractors.classify(images)
    classes = probabilities.argmax(1)
    found = against.extractor.features(images)
    if not np.isfinite(found).all():
        raise UsageError(
            f"{against.extractor.name} gives features that are not finite; choose other --features"
        )
    advance(5)
    scores, replicates = frechet_and_kernel(found, against, bootstrap=bootstrap)
    advance(20)
    overlap = prdc.overlap(against.balls(len(images)), Balls.of(found))
    advance(10)
    confidence = probabilities.max(1)
    statistics = overlap | {
        "classifier_score": fid_kid.classifier_score(probabilities),
        "class_distance": fid_kid.class_distance(classes),
        "confidence": Statistic.mean(confidence),
        "ambiguous": Statistic.mean(confidence < AMBIGUOUS),
    }
    scores |= entries({name: value.estimate for name, value in statistics.items()}, len(images))
    distances = against.distances(
        images[:searched], classes=classes[:searched], found=found[:searched]
    )
    advance(50)
    cosine = float(against.cosine(found).mean())
    mifid = fid_kid.mifid(
        scores["fid"]["value"], cosine, (cosine if typical is None else typical) / 2
    )
    plain = {"cosine_distance": cosine, "mifid": mifid, "noise_std": float(np.median(noise_std))}
    scores |= entries(plain, len(images))
    statistics |= {
        f"copy_rate_{space}": Statistic.mean(part.copies) for space, part in distances.items()
    }
    replicates |= {name: value.replicates() for name, value in statistics.items()}
    spaces = memorized(distances, against.null, len(images))
    advance(5)
    return Measured(
        scores,
        {space: entries(part, len(distances[space].d1)) for space, part in spaces.items()},
        np.bincount(classes, minlength=10).tolist(),
        replicates,
        per_image(classes, confidence, distances, noise_std),
        memorization.verdict(spaces),
    )


def frechet_and_kernel(
    found: np.ndarray, against: Reference, *, bootstrap: bool = True
) -> tuple[Scores, dict[str, np.ndarray]]:
    """FID, FID at infinity and KID of features (N, d), and the bootstrap values of FID and KID."""
    fid, kid = fid_kid.fid(against.moments, found), fid_kid.kid(against.kid, found)
    values = {
        "fid": fid,
        "fid_infinity": fid_kid.fid_infinity(against.moments, found),
        "kid": kid.estimate,
    }
    scores = entries(values, len(found))
    if not bootstrap:
        return scores, {"kid": kid.replicates()}
    drawn = fid_kid.fid_replicates(against.moments, against.features, found)
    error = Estimate(fid, float(drawn.std(ddof=1)))
    scores["fid"] = entry("fid", error, len(found), ci95=uncertainty.basic(fid, drawn))
    return scores, {"fid": drawn, "kid": kid.replicates()}


def memorized(
    distances: dict[str, Distances], null: dict[str, Distances], n: int
) -> dict[str, dict[str, Any]]:
    """The statistics of each space, against held-out images that are not the control's: see `apart`."""
    apart = slice(held_back(n, len(null["pixels"].d1)), None)
    return {
        space: memorization.statistics(found, null[space].part(apart) if space in null else None)
        for space, found in distances.items()
    }


def held_back(n: int, held_out: int) -> int:
    """How many held-out images serve as the control of n images; the others are the null that all are compared with."""
    return min(n, held_out // 2)


def per_image(
    classes: np.ndarray,
    confidence: np.ndarray,
    distances: dict[str, Distances],
    noise_std: np.ndarray,
) -> pd.DataFrame:
    """One row per image; those that were not searched have no distances."""
    rows = pd.DataFrame({"id": np.arange(len(classes)), "class": classes, "confidence": confidence})
    pixels, shifted = distances["pixels"], distances["shifted"]
    near = {"nearest": pixels.index, "d1": pixels.d1, "d2": pixels.d2, "ratio": pixels.ratio}
    near |= {"shifted_d1": shifted.d1, "shifted_ratio": shifted.ratio}
    return rows.join(pd.DataFrame(near)).assign(noise_std=noise_std)


def entries(values: dict[str, Estimate | Rate | float | None], n: int) -> Scores:
    """An entry for each value that there is."""
    return {name: entry(name, value, n) for name, value in values.items() if value is not None}


def entry(
    name: str, value: Estimate | Rate | float, n: int, *, ci95: tuple[float, float] | None = None
) -> Scores:
    """A number with its conditions; its interval is that of its standard error unless it has one of its own."""
    if isinstance(value, Rate):
        number, stderr, ci95 = value.value, None, (value.low, value.high)
    elif isinstance(value, Estimate):
        number, stderr, ci95 = value.value, value.stderr, ci95 or value.ci95
    else:
        number, stderr = value, None
    return {
        "value": float(number),
        "stderr": None if stderr is None else float(stderr),
        "ci95": None if ci95 is None else [float(bound) for bound in ci95],
        "n": n,
        "higher_is_better": HIGHER.get(name, False),
    }
