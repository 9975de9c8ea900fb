"""Metrics of torchmetrics for images that bench has features for: digits, and small images of any kind.

What they give is what `bench score` gives for the same images. Real images are those of a dataset,
named as `--dataset` takes it, of which `bench` keeps what takes long; or they are given, as
torchmetrics' own FID takes them:

    fid = FrechetDistance(reference="mnist")
    fid.update(samples)                      # uint8 (N, 1, 28, 28)
    fid.compute()

    kid = KernelDistance(value_range=(-1, 1))
    kid.update(digits, real=True)            # float, in [-1, 1]
    kid.update(samples)
    kid.compute()                            # {"kid": ..., "kid_stderr": ...}

States are features, joined over the ranks of a process group when something is computed. Metrics of
one reference in a `MetricCollection` share them.
"""

from typing import Any, cast

import numpy as np
from torch import Tensor

from bench.data.dataset import Dataset
from bench.metric import OfImages
from bench.scoring import control_scores, devices, fid_kid, measure, memorization, prdc
from bench.scoring.fid_kid import KidReference, Moments
from bench.scoring.prdc import Balls
from bench.scoring.reference import Reference
from denoisers.errors import UsageError


class FrechetDistance(OfImages):
    """Frechet distance between the Gaussians of two feature sets: Heusel et al. 2017 (arXiv 1706.08500), eq. 6.

    compute() gives a scalar. On digits it means something in features of a network that knows digits,
    `lenet-a`, and does not compare with Inception's. It depends on the number of images: hold it against
    that of as many held-out ones.
    """

    @devices.exact()
    def compute(self) -> Tensor:
        """The distance, float32 (), 0 for equal sets. Raises UsageError for fewer than 6 images a side."""
        against, device, generated = self.against, str(self.device), self.generated()
        moments = against.moments if against else Moments.of(self.real(), device)
        return self.number(fid_kid.fid(moments, generated, device))


class KernelDistance(OfImages):
    """Kernel distance: Binkowski et al. 2018 (arXiv 1801.01401), eq. 4, over all pairs of images, without bias.

    Features of our classifiers are standardised by the real ones, as their scale means nothing.
    """

    @devices.exact()
    def compute(self) -> dict[str, Tensor]:
        """`kid`, and `kid_stderr` by the jackknife over both sets, float32 (). Raises UsageError for too few."""
        against, generated = self.against, self.generated()
        standardised = self.extractor.standardised
        reference = (
            against.kid if against else KidReference.of(self.real(), standardised=standardised)
        )
        found = fid_kid.kid(reference, generated, str(self.device)).estimate
        return {"kid": self.number(found.value), "kid_stderr": self.number(found.stderr)}


class Overlap(OfImages):
    """How two feature sets overlap, by balls around their points.

    Precision and recall of Kynkaanniemi et al. 2019 (arXiv 1904.06991), density and coverage of Naeem et
    al. 2020 (arXiv 2002.09797).
    """

    higher_is_better = True

    @devices.exact()
    def compute(self) -> dict[str, Tensor]:
        """`precision`, `recall`, `density`, `coverage`, float32 (). Raises UsageError for too few images.

        Real images are as many as generated ones, at most, drawn once for all, where a reference is named.
        """
        against, device, generated = self.against, str(self.device), self.generated()
        balls = against.balls(len(generated)) if against else Balls.of(self.real(), device)
        found = prdc.overlap(balls, Balls.of(generated, device), device)
        return {name: self.number(value.value) for name, value in found.items()}


class Memorization(OfImages):
    """Whether generated images are copies of a reference's training images, calibrated by its held-out ones.

    The statistics of `bench score`, by space (pixels, shifted, guarded, features): see
    `bench.scoring.memorization.statistics`, which cites their sources.
    """

    def __init__(self, reference: str | Dataset = "mnist", **kwargs: Any) -> None:
        if reference is None:
            raise UsageError(
                "reference is None; copies are looked for among the images of a dataset, so name one"
            )
        super().__init__(reference, **kwargs)

    def add_states(self) -> None:
        """The images themselves, which are compared pixel by pixel."""
        self.add_state("generated_features", [], dist_reduce_fx="cat")

    def seen(self, images: np.ndarray) -> np.ndarray:
        """What is kept of uint8 images: all of it."""
        self.check_size(images)
        return np.ascontiguousarray(images)

    @devices.exact()
    def compute(self) -> dict[str, Tensor]:
        """`pixels_copy_rate` and so on, float32 (), and `memorizes`: 1 where images are surely copied, else 0.

        Raises UsageError for fewer than 6 images.
        """
        found, verdict = self.judged()
        self.sentence = f"{verdict['memorization']}: {verdict['because']}"
        values = {
            f"{space}_{name}": self.number(getattr(value, "value", value))
            for space, statistics in found.items()
            for name, value in statistics.items()
        }
        return values | {"memorizes": self.number(verdict["memorization"] == "memorizing")}

    def verdict(self) -> str:
        """What `compute` gives, of the images of all ranks, in a sentence."""
        self.compute()
        return self.sentence

    def judged(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The statistics by space, and the verdict of them."""
        against, images = cast(Reference, self.against), self.generated()
        names = (control_scores.HELD_OUT,)
        (control,) = control_scores.measured(against, len(images), names).values()
        null = measure.apart(against.null, len(images))
        spaces = measure.memorized(against.distances(images), null)
        honest = measure.honest(null, measure.copied_under_shifts(control))
        of_class = against.judges is not None
        return spaces, memorization.verdict(spaces, honest, of_class=of_class)
