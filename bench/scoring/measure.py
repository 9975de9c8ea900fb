"""Scores of a set of images, each beside the same score of the control panel."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench.progress import Advance
from bench.scoring import (
    catalogue,
    control_sets,
    fid_kid,
    memorization,
    nearest,
    quality,
    reference,
    uncertainty,
)
from bench.scoring.memorization import Distances
from bench.scoring.quality import Seen
from bench.scoring.reference import Reference
from bench.scoring.schema import Score, ScoreSet, scores_to_json
from bench.scoring.uncertainty import Estimate, Rate, Statistic
from denoisers.errors import UsageError

# Raise it when `measure` or anything it calls in quality, prdc, memorization or uncertainty changes.
VERSION = 3
VERSIONS = (
    "-".join(str(part.VERSION) for part in (reference, fid_kid, nearest, control_sets))
    + f"-{VERSION}"
)
WORK = 100  # what `score` advances by in all: about the hundredths of its time, with 2000 images
SEARCHED = 500  # images of each control, other than held-out ones, whose neighbours are searched

Json = dict[str, Any]


class Measured(NamedTuple):
    """What `measure` gives: scores, bootstrap values by name, one row per image, the verdict in words."""

    scores: ScoreSet
    replicates: dict[str, np.ndarray]
    rows: pd.DataFrame
    verdict: dict[str, str]

    def to_json(self) -> Json:
        """What files of scores hold of it."""
        return self.scores.to_json() | {"verdict": self.verdict}


def score(
    images: np.ndarray,
    noise_std: np.ndarray,
    against: Reference,
    second: Reference,
    controls: dict[str, Json],
    advance: Advance = lambda steps: None,
) -> tuple[Json, dict[str, np.ndarray], pd.DataFrame]:
    """All numbers of uint8 images, (N, H, W[, 3]), N >= 6: as JSON; their bootstrap values; one row per image.

    noise_std  (N,), white noise left in each, as `generate` measured it
    second     the same dataset seen through another extractor, to tell a finding from an artefact
               of the first
    controls   scores of control sets of as many images, or of all there are, by name; `held_out`
               among them
    advance    is called with shares of WORK
    """
    usual = controls["held_out"]["scores"]["cosine_distance"]["value"]
    measured = measure(
        images,
        noise_std,
        against,
        typical=usual,
        shifted=copied_under_shifts(controls["held_out"]),
        advance=advance,
    )
    other = second.spaces.embed(images)
    also, _ = frechet_and_kernel(other, second, bootstrap=False)
    advance(10)
    in_second = {"features": second.extractor.id} | scores_to_json(also)
    content = measured.to_json() | {"second": in_second, "controls": controls}
    return content, measured.replicates, measured.rows


# A third of it is what can be asked for; the rest are the scores, one kind after the other.
def measure(
    images: np.ndarray,
    noise_std: np.ndarray,
    against: Reference,
    *,
    typical: float | None = None,
    searched: int | None = None,
    shifted: Rate | None = None,
    bootstrap: bool = True,
    advance: Advance = lambda steps: None,
) -> Measured:
    """Quality and memorization of uint8 images, (N, H, W) or (N, H, W, 3).

    typical    cosine_distance of held-out images, below half of which MiFID punishes; None for
               these themselves
    searched   how many images' neighbours are searched; all of them by default
    shifted    copy rate of held-out images under shifts, where it is known
    bootstrap  whether FID gets an error; it costs more than all the rest
    """
    n = len(images)
    features = against.spaces.embed(images)
    if not np.isfinite(features).all():
        raise UsageError(
            f"{against.extractor.name} gives features that are not finite; choose other --features"
        )
    judges = against.judges
    probabilities = against.spaces.classify(images, 0) if judges else None
    seen = Seen(images, noise_std, probabilities, features, against)
    advance(5)
    scores, replicates = frechet_and_kernel(features, against, bootstrap=bootstrap)
    advance(20)
    values = measured_alone(seen)
    scores |= {key: Score.of(simple(value), n) for key, value in values.items()}
    cosine = values["cosine_distance"]
    threshold = (cosine if typical is None else typical) / 2
    scores["mifid"] = Score.of(fid_kid.mifid(scores["fid"].value, cosine, threshold), n)
    advance(10)
    distances = against.distances(
        images[:searched], classes=seen.classes[:searched], found=features[:searched]
    )
    advance(50)
    values |= {f"copy_rate_{space}": Statistic.mean(d.copies) for space, d in distances.items()}
    drawn = (*catalogue.COMPARED, *catalogue.COPIES)
    replicates |= {key: values[key].replicates() for key in values if key in drawn}
    null = apart(against.null, n)
    spaces = memorized(distances, null)
    advance(5)
    near = {
        space: {key: Score.of(value, len(distances[space].d1)) for key, value in part.items()}
        for space, part in spaces.items()
    }
    whole = ScoreSet(scores, near, histogram(seen))
    rows = per_image(seen, distances)
    found = memorization.verdict(spaces, honest(null, shifted), of_class=judges is not None)
    return Measured(whole, replicates, rows, found)


def honest(null: dict[str, Distances], shifted: Rate | None) -> dict[str, Rate]:
    """Copy rates of held-out images by space.

    shifted  theirs under shifts, where it is known; it counts where it is more than in pixels, of
             which more are known
    """
    rates = {
        space: uncertainty.rate(int(d.copies.sum()), len(d.copies)) for space, d in null.items()
    }
    if shifted is not None and shifted.value > rates["pixels"].value:
        rates["shifted"] = shifted
    return rates


def histogram(seen: Seen) -> list[int]:
    """How many images are of each class, as predicted; empty without a judge."""
    if seen.probabilities is None:
        return []
    return np.bincount(seen.classes, minlength=seen.probabilities.shape[1]).tolist()


def measured_alone(seen: Seen) -> dict[str, Statistic | float]:
    """The scores of the catalogue that have a function in quality.py, by key; without a judge, those that need none."""
    judged = seen.probabilities is not None
    wanted = [spec.key for spec in catalogue.SCORES if judged or not spec.judged]
    functions = {key: getattr(quality, key, None) for key in wanted}
    return {key: function(seen) for key, function in functions.items() if function is not None}


def simple(value: Statistic | float) -> Estimate | float:
    """A statistic without the influence of each image."""
    return value.estimate if isinstance(value, Statistic) else value


def frechet_and_kernel(
    features: np.ndarray, against: Reference, *, bootstrap: bool = True
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """FID, FID at infinity and KID of features (N, d), and the bootstrap values of FID and KID."""
    n, device = len(features), against.device
    fid = fid_kid.fid(against.moments, features, device)
    kid = fid_kid.kid(against.kid, features, device)
    limit = fid_kid.fid_infinity(against.moments, features, device)
    scores = {"fid": Score.of(fid, n)}
    if limit is not None:
        scores["fid_infinity"] = Score.of(limit, n)
    scores["kid"] = Score.of(kid.estimate, n)
    if not bootstrap:
        return scores, {"kid": kid.replicates()}
    drawn = fid_kid.fid_replicates(against.moments, against.features, features, device)
    error = Estimate(fid, float(drawn.std(ddof=1)))
    scores["fid"] = Score.of(error, n, uncertainty.basic(fid, drawn))
    return scores, {"fid": drawn, "kid": kid.replicates()}


def copied_under_shifts(control: Json) -> Rate:
    """The copy rate of a control in that space, from its scores as JSON."""
    found = control["memorization"]["shifted"]["copy_rate"]
    return uncertainty.rate(round(found["value"] * found["n"]), found["n"])


def apart(null: dict[str, Distances], n: int) -> dict[str, Distances]:
    """The distances of held-out images that are not those of the control of n images."""
    rest = slice(held_back(n, len(null["pixels"].d1)), None)
    return {space: distances.part(rest) for space, distances in null.items()}


def memorized(
    distances: dict[str, Distances], null: dict[str, Distances]
) -> dict[str, dict[str, Any]]:
    """The statistics of each space, against held-out images where they were measured."""
    return {
        space: memorization.statistics(found, null.get(space)) for space, found in distances.items()
    }


def held_back(n: int, held_out: int) -> int:
    """How many held-out images serve as the control of n images; the others are the null that all are compared with."""
    return min(n, held_out // 2)


def per_image(seen: Seen, distances: dict[str, Distances]) -> pd.DataFrame:
    """One row per image; those that were not searched have no distances, nor, without a judge, any a class."""
    rows = pd.DataFrame({"id": np.arange(len(seen.images))})
    if seen.probabilities is not None:
        rows = rows.assign(
            **{
                "class": seen.classes,
                "confidence": seen.probabilities.max(1),
                "second_class": seen.second.argmax(1),
                "second_confidence": seen.second.max(1),
            }
        )
    pixels, shifted = distances["pixels"], distances["shifted"]
    near = {"nearest": pixels.index, "d1": pixels.d1, "d2": pixels.d2, "ratio": pixels.ratio}
    near |= {"shifted_d1": shifted.d1, "shifted_ratio": shifted.ratio}
    return rows.join(pd.DataFrame(near)).assign(noise_std=seen.noise_std)


def doubts(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The classes that the two classifiers of `quality.mixed` see, (N, 2), and the larger of their confidences, (N,).

    rows  one for each image: see `per_image`
    """
    classes, sure = (rows[[name, f"second_{name}"]].to_numpy() for name in ("class", "confidence"))
    return classes, sure.max(1)
