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

import functools
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from bench.bounds import LEAST
from bench.data import datasets
from bench.data.dataset import Dataset
from bench.data.tensors import levels
from bench.scoring import control_scores, extractors, fid_kid, measure, memorization, prdc
from bench.scoring.extractors import Extractor
from bench.scoring.fid_kid import KidReference, Moments
from bench.scoring.prdc import Balls
from bench.scoring.reference import Reference, References
from denoisers.errors import UsageError


@functools.lru_cache(maxsize=8)
def extractor_of(name: str, weights: Path | None, device: str) -> Extractor:
    """An extractor, loaded once."""
    return extractors.load(name, weights, device)


@functools.lru_cache(maxsize=4)
def references_of(name: str, data_dir: Path | None) -> References:
    """What images of a named dataset are scored against, loaded once."""
    return References(datasets.load(name, data_dir))


class OfImages(Metric):
    """What the metrics have in common: the checks of images, the features of real and generated ones.

    reference    a dataset that stands for the real images: its name or path, as `--dataset` takes it, or
                 a `Dataset`; None where real images are given to `update`
    features     the extractor, by its name in `bench list features`; by default the one that suits the
                 reference, `lenet-a` for digits
    weights      file for an extractor that needs one
    value_range  (black, white) of images that are floats
    data_dir     where datasets with names are looked for first
    reset_real_features  whether `reset` forgets real images that were given, as torchmetrics has it
    kwargs       of `torchmetrics.Metric`
    """

    real_features: list[Tensor]
    generated_features: list[Tensor]
    is_differentiable = False
    higher_is_better: bool | None = False
    full_state_update = False

    def __init__(
        self,
        reference: str | Dataset | None = None,
        *,
        features: str | None = None,
        weights: Path | None = None,
        value_range: tuple[float, float] | None = None,
        data_dir: Path | None = None,
        reset_real_features: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if value_range is not None and not value_range[0] < value_range[1]:
            raise UsageError(f"value_range is {value_range}; expected (black, white), rising")
        if features is not None:
            extractors.family_of(features)  # or it is unknown, which is said at once
        self.reference, self.features, self.weights = reference, features, weights
        self.value_range, self.data_dir = value_range, data_dir
        self.reset_real_features = reset_real_features
        self.add_states()

    def add_states(self) -> None:
        """Lists of features, of which each update makes one longer."""
        self.add_state("real_features", [], dist_reduce_fx="cat")
        self.add_state("generated_features", [], dist_reduce_fx="cat")

    def update(self, images: Tensor, real: bool = False) -> None:
        """See images (N, H, W) or (N, C, H, W): uint8, or floats in `value_range`; generated ones unless `real`.

        Raises UsageError, a ValueError, for images that are something else, and for real ones beside a
        reference.
        """
        if real and self.reference is not None:
            raise UsageError(
                f"real images are those of {self.reference}; give none beside a reference"
            )
        seen = levels(images, self.value_range)
        found = torch.from_numpy(self.seen(seen)).to(self.device)
        (self.real_features if real else self.generated_features).append(found)

    def seen(self, images: np.ndarray) -> np.ndarray:
        """What is kept of uint8 images: their features."""
        self.check_size(images)
        return self.extractor.features(images)

    def check_size(self, images: np.ndarray) -> None:
        """Raise UsageError for images of another size than the reference's, or than the extractor takes."""
        size, name, against = images.shape[1:], self.extractor.name, self.against
        wanted = against.dataset.train.shape[1:] if against else None
        if wanted is None and extractors.CLASSIFIERS.get(name) is extractors.lenet:
            wanted = (28, 28)
        if wanted is not None and size != wanted:
            found, expected = ("x".join(map(str, shape)) for shape in (size, wanted))
            whose = against.dataset.name if against else name
            hint = "; take the frame off: images[..., 2:-2, 2:-2]" if size[:2] == (32, 32) else ""
            raise UsageError(f"images are {found}; {whose} has {expected}{hint}")

    @property
    def extractor(self) -> Extractor:
        """On the device that the metric is on."""
        if self.against:
            return self.against.extractor
        return extractor_of(self.features or "lenet-a", self.weights, str(self.device))

    @property
    def against(self) -> Reference | None:
        """The reference through the extractor; None where real images are given."""
        if self.reference is None:
            return None
        if isinstance(self.reference, Dataset):
            references = self.__dict__.setdefault("own_references", References(self.reference))
        else:
            references = references_of(str(self.reference), self.data_dir)
        dataset = references.dataset
        name = self.features or extractors.default(dataset)
        extractors.check(name, dataset)
        return references.of(extractor_of(name, self.weights, str(self.device)))

    def real(self) -> np.ndarray:
        """Features of the real images that were given. Raises UsageError for too few of them."""
        return self.joined("real", self.real_features)

    def generated(self) -> np.ndarray:
        """What was kept of generated images. Raises UsageError for too few of them."""
        return self.joined("generated", self.generated_features)

    def joined(self, name: str, state: list[Tensor] | Tensor) -> np.ndarray:
        """A list state as one array. Raises UsageError for too few images."""
        rows = dim_zero_cat(state).cpu().numpy() if len(state) else np.empty((0, 1))
        if len(rows) < LEAST:
            hint = "; update(images, real=True), or name a reference" if name == "real" else ""
            raise UsageError(f"{len(rows)} {name} images were seen; expected {LEAST} or more{hint}")
        return rows

    def number(self, value: float) -> Tensor:
        """A result, float32 () on the device that the metric is on."""
        return torch.tensor(float(value), dtype=torch.float32, device=self.device)

    def reset(self) -> None:
        """Forget what was seen; real images only where `reset_real_features` says so."""
        keeps = not self.reset_real_features and len(getattr(self, "real_features", []))
        kept = [dim_zero_cat(self.real_features)] if keeps else []
        super().reset()
        if kept:
            self.real_features = kept

    def __getstate__(self) -> dict[str, Any]:
        return {
            key: value for key, value in super().__getstate__().items() if key != "own_references"
        }


class FrechetDistance(OfImages):
    """Frechet distance between the Gaussians of two feature sets: Heusel et al. 2017 (arXiv 1706.08500), eq. 6.

    compute() gives a scalar. On digits it means something in features of a network that knows digits,
    `lenet-a`, and does not compare with Inception's. It depends on the number of images: hold it against
    that of as many held-out ones.
    """

    def compute(self) -> Tensor:
        """The distance, float32 (), 0 for equal sets. Raises UsageError for fewer than 6 images a side."""
        against, device, generated = self.against, str(self.device), self.generated()
        moments = against.moments if against else Moments.of(self.real(), device)
        return self.number(fid_kid.fid(moments, generated, device))


class KernelDistance(OfImages):
    """Kernel distance: Binkowski et al. 2018 (arXiv 1801.01401), eq. 4, over all pairs of images, without bias.

    Features of our classifiers are standardised by the real ones, as their scale means nothing.
    """

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

    def compute(self) -> dict[str, Tensor]:
        """`pixels_copy_rate` and so on, float32 (), and `memorizes`: 1 where images are surely copied, else 0.

        Raises UsageError for fewer than 6 images.
        """
        found, verdict = self.judged()
        values = {
            f"{space}_{name}": self.number(getattr(value, "value", value))
            for space, statistics in found.items()
            for name, value in statistics.items()
        }
        return values | {"memorizes": self.number(verdict["memorization"] == "memorizing")}

    def verdict(self) -> str:
        """What that amounts to, in a sentence."""
        _, verdict = self.judged()
        return f"{verdict['memorization']}: {verdict['because']}"

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
