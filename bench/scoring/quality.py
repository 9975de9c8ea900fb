"""One function for each score of a set of images, under the score's key in the catalogue.

A `Statistic` brings its error and its bootstrap values; a plain number has none. FID, FID∞, KID and
MiFID share their work and are made together, in measure.py.
"""

import dataclasses
import functools

import numpy as np

from bench.scoring import fid_kid, prdc
from bench.scoring.prdc import Balls
from bench.scoring.reference import Reference
from bench.scoring.uncertainty import Statistic

AMBIGUOUS = 0.7  # confidence below which a digit counts as mixed


@dataclasses.dataclass(frozen=True)
class Seen:
    """A set of images, and what is known of them before they are scored.

    images         uint8 (N, H, W), or (N, H, W, 3) in colour
    noise_std      (N,), white noise left in each, as `generate` measured it
    probabilities  (N, classes) of the first judge; None where no classifier knows the classes
    features       (N, d) of the extractor
    against        the training images, seen through the same extractor
    """

    images: np.ndarray
    noise_std: np.ndarray
    probabilities: np.ndarray | None
    features: np.ndarray
    against: Reference

    @functools.cached_property
    def classes(self) -> np.ndarray:
        """The class of each image, as predicted: int64 (N,); without a judge all are of one."""
        if self.probabilities is None:
            return np.zeros(len(self.images), np.int64)
        return self.probabilities.argmax(1)

    @functools.cached_property
    def second(self) -> np.ndarray:
        """What a second judge, trained apart, makes of the images: as `probabilities`."""
        return self.against.spaces.classify(self.images, 1)

    @functools.cached_property
    def overlap(self) -> dict[str, Statistic]:
        """Precision, recall, density and coverage: see `prdc.overlap`."""
        return prdc.overlap(
            self.against.balls(len(self.images)),
            Balls.of(self.features, self.against.device),
            self.against.device,
        )


def precision(seen: Seen) -> Statistic:
    """Kynkäänniemi et al. 2019 (arXiv 1904.06991)."""
    return seen.overlap["precision"]


def recall(seen: Seen) -> Statistic:
    """Kynkäänniemi et al. 2019 (arXiv 1904.06991)."""
    return seen.overlap["recall"]


def density(seen: Seen) -> Statistic:
    """Naeem et al. 2020 (arXiv 2002.09797)."""
    return seen.overlap["density"]


def coverage(seen: Seen) -> Statistic:
    """Naeem et al. 2020 (arXiv 2002.09797)."""
    return seen.overlap["coverage"]


def classifier_score(seen: Seen) -> Statistic:
    """Salimans et al. 2016 (arXiv 1606.03498), with a classifier of the dataset's classes."""
    return fid_kid.classifier_score(seen.probabilities)


def class_distance(seen: Seen) -> Statistic:
    """Total variation between the predicted classes and equal shares."""
    return fid_kid.class_distance(seen.classes)


def confidence(seen: Seen) -> Statistic:
    """Mean probability of the predicted class."""
    return Statistic.mean(seen.probabilities.max(1))


def ambiguous(seen: Seen) -> Statistic:
    """Share of the images whose class is less sure than AMBIGUOUS."""
    return Statistic.mean(seen.probabilities.max(1) < AMBIGUOUS)


def mixed(seen: Seen) -> Statistic:
    """Share of the images of whose class two classifiers, trained apart, are less sure than AMBIGUOUS."""
    return Statistic.mean(np.maximum(seen.probabilities.max(1), seen.second.max(1)) < AMBIGUOUS)


def ink(seen: Seen) -> Statistic:
    """Mean grey level of the images, of 1."""
    return Statistic.mean(seen.images.mean(axis=tuple(range(1, seen.images.ndim))) / 255)


def cosine_distance(seen: Seen) -> float:
    """Mean distance to the nearest training image, in the angle of features."""
    return float(seen.against.cosine(seen.features).mean())


def noise_std(seen: Seen) -> float:
    """Median white noise left in the images."""
    return float(np.median(seen.noise_std))
