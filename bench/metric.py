"""What the metrics of torchmetrics here have in common: checks of images, features, states and their ranks."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from bench.bounds import LEAST
from bench.data import datasets
from bench.data.dataset import Dataset
from bench.data.tensors import levels
from bench.scoring import devices, extractors
from bench.scoring.extractors import Extractor
from bench.scoring.reference import Reference, References
from denoisers.errors import UsageError


@functools.lru_cache(maxsize=8)
def extractor_of(name: str, weights: Path | None, device: str) -> Extractor:
    """An extractor, loaded once."""
    return extractors.load(name, weights, device)


@functools.lru_cache(maxsize=4)
def references_of(name: str, data_dir: Path | None) -> References:
    """What images of one of our datasets are scored against, loaded once."""
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
        """Lists of features, of which each update makes one longer; of real ones where no reference has them."""
        if self.reference is None:
            self.add_state("real_features", [], dist_reduce_fx="cat")
        self.add_state("generated_features", [], dist_reduce_fx="cat")

    @devices.exact()
    def update(self, images: Tensor, real: bool = False) -> None:
        """See images (N, H, W) or (N, C, H, W): uint8, or floats in `value_range`; generated ones unless `real`.

        Raises UsageError, a ValueError, for images that are something else, and for real ones beside a
        reference.
        """
        if real and self.reference is not None:
            name = getattr(self.reference, "name", self.reference)
            raise UsageError(f"real images are those of {name}; give none beside a reference")
        if tuple(getattr(images, "shape", ()))[:1] == (0,):
            return
        seen = levels(images, self.value_range)
        found = torch.from_numpy(self.seen(seen)).to(self.device)
        (self.real_features if real else self.generated_features).append(found)

    def forward(self, images: Tensor, real: bool = False) -> Any:
        """Update, and give the value of these images alone; None for real ones, and for too few.

        Against the reference, or all real images so far. torchmetrics would forget those for a moment.
        """
        before = len(self.generated_features)
        self.update(images, real)
        if real or (len(images) < LEAST and not self.dist_sync_on_step):
            return None
        whole, self.generated_features = self.generated_features, self.generated_features[before:]
        self._to_sync = self.dist_sync_on_step
        try:
            self._forward_cache = self.compute()
            return self._forward_cache
        finally:
            self.generated_features, self._computed = whole, None
            self._to_sync = self.sync_on_compute

    @contextlib.contextmanager
    def sync_context(self, *args: Any, **options: Any) -> Iterator[None]:
        """As torchmetrics has it; and what this rank saw is back when something goes wrong inside."""
        try:
            with super().sync_context(*args, **options):
                yield
        except BaseException:
            if self._is_synced:
                self.unsync()
            raise

    def _sync_dist(self, *args: Any, **options: Any) -> None:
        """A rank that saw nothing gives no rows, of as many columns as the others have."""
        for name in self._reductions:
            if not len(getattr(self, name)):
                setattr(self, name, [self.nothing()])
        super()._sync_dist(*args, **options)

    def nothing(self) -> Tensor:
        """What is kept of no images."""
        side = self.against.dataset.train.shape[1:] if self.against else (28, 28)
        return torch.from_numpy(self.seen(np.zeros((1, *side), np.uint8))[:0]).to(self.device)

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

    @functools.cached_property
    def own_references(self) -> References:
        """The same of a dataset that is none of ours, loaded once for this metric: files may change, and code."""
        if isinstance(self.reference, Dataset):
            return References(self.reference)
        return References(datasets.load(str(self.reference), self.data_dir))

    @property
    def against(self) -> Reference | None:
        """The reference through the extractor; None where real images are given."""
        if self.reference is None:
            return None
        if isinstance(self.reference, str) and self.reference in datasets.DATASETS:
            references = references_of(self.reference, self.data_dir)
        else:
            references = self.own_references
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
        joined = dim_zero_cat(state).cpu() if len(state) else torch.empty(0, 1)
        rows = (joined.float() if joined.is_floating_point() else joined).numpy()
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
