"""What is found of every image by itself, against a training set: features, classes, nearest training images.

Each method here takes rows and gives rows, so that the ranks of a world can share them: see crew.py.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from bench.crew import ALONE, Crew, Parts, Task
from bench.data.dataset import Dataset
from bench.scoring import extractors, guard, memorization, nearest, scratch
from bench.scoring.extractors import Extractor
from bench.scoring.nearest import Index, Neighbours


@dataclasses.dataclass(frozen=True, eq=False)
class Spaces:
    """The training images as points, in grey levels, under the noise guard, in features, and in their directions.

    trained  gives the features of the training images, float32 (M, d)
    crew     who shares the work
    """

    dataset: Dataset
    extractor: Extractor
    trained: Callable[[], np.ndarray]
    crew: Crew = ALONE

    @property
    def device(self) -> str:
        """That all is computed on: the extractor's."""
        return self.extractor.device

    @functools.cached_property
    def judges(self) -> tuple[str, str] | None:
        """The two classifiers that know the classes; None if there are none."""
        return extractors.judges_of(self.dataset)

    @functools.cached_property
    def pixels(self) -> Index:
        """Of the training images, in grey levels."""
        return Index.of(flat(self.dataset.train), self.device)

    @functools.cached_property
    def guarded(self) -> Index:
        """Of the training images under the noise guard."""
        return Index.of(flat(scratch.mapped(self.without_noise, self.dataset.train)), self.device)

    @functools.cached_property
    def features(self) -> Index:
        """Of the training images, in features."""
        return Index.of(self.trained(), self.device)

    @functools.cached_property
    def directions(self) -> Index:
        """Of the training images, in features of length 1."""
        return Index.of(scratch.mapped(nearest.unit, self.trained()), self.device)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Features float32 (N, d) of uint8 images."""
        return self.divide("embedded", images, block=self.extractor.block)[0]

    def embed_training(self) -> np.ndarray:
        """Those of the training images, which every rank has."""
        every = np.arange(len(self.dataset.train))
        return self.divide("embedded_training", every, block=self.extractor.block)[0]

    def classify(self, images: np.ndarray, judge: int) -> np.ndarray:
        """Class probabilities (N, classes), according to the first or the second of the judges, 0 or 1."""
        block = extractors.block(self.device)
        return self.divide("classified", images, judge, block=block)[0]

    def near(self, space: str, rows: np.ndarray, k: int) -> Neighbours:
        """The k nearest training images of rows (N, D) in a space; images are put under the noise guard for that."""
        block = getattr(self, space).block_size(1)
        return Neighbours(*self.divide("nearest", rows, space, k, block=block))

    def near_shifted(self, images: np.ndarray) -> Neighbours:
        """The two nearest training images of images under all their shifts, in grey levels."""
        block = memorization.at_once(self.pixels)
        return Neighbours(*self.divide("nearest_shifted", images, block=block))

    def lonely(self, space: str, own: np.ndarray) -> np.ndarray:
        """Distance of training images `own` (N,) to the nearest other one, (N,)."""
        points, places = np.unique(own, return_inverse=True)
        block = getattr(self, space).block_size(1)
        return self.divide("alone", points, space, block=block)[0][places]

    def divide(self, method: str, rows: np.ndarray, *arguments: object, block: int) -> Parts:
        """One of the methods below, by all ranks."""
        work = getattr(self, method)
        task = Task(self.extractor.name, method, arguments)
        return self.crew.divide(task, lambda part: work(part, *arguments), rows, block)

    def embedded(self, images: np.ndarray) -> Parts:
        """A rank's share of `embed`."""
        return (self.extractor.features(images),)

    def embedded_training(self, places: np.ndarray) -> Parts:
        """A rank's share of `embed_training`: images that follow each other."""
        return self.embedded(self.dataset.train[places[0] : places[-1] + 1])

    def classified(self, images: np.ndarray, judge: int) -> Parts:
        """A rank's share of `classify`."""
        return (extractors.classify(images, self.judges[judge], self.device),)

    def nearest(self, rows: np.ndarray, space: str, k: int) -> Parts:
        """A rank's share of `near`."""
        rows = flat(scratch.mapped(self.without_noise, rows)) if space == "guarded" else rows
        return getattr(self, space).nearest(rows, k)

    def nearest_shifted(self, images: np.ndarray) -> Parts:
        """A rank's share of `near_shifted`."""
        return memorization.nearest_shifted(images, self.pixels, self.dataset.on_black)

    def alone(self, points: np.ndarray, space: str) -> Parts:
        """A rank's share of `lonely`."""
        return (getattr(self, space).alone(points),)

    def without_noise(self, images: np.ndarray) -> np.ndarray:
        """Images under the noise guard."""
        return guard.guarded(images, on_black=self.dataset.on_black)


def flat(images: np.ndarray) -> np.ndarray:
    """(N, H, W) to (N, H W), (N, H, W, 3) to (N, H W 3)."""
    return images.reshape(len(images), -1)
