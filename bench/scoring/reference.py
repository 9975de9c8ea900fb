"""What images are scored against: a dataset seen through an extractor, cached by the digests of what it depends on."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from bench import files
from bench.crew import ALONE, Crew
from bench.data.dataset import Dataset
from bench.files import Say
from bench.scoring import catalogue, extractors, fid_kid, guard, nearest
from bench.scoring.control_sets import FEW
from bench.scoring.extractors import Extractor
from bench.scoring.fid_kid import KidReference, Moments
from bench.scoring.memorization import AROUND, Distances
from bench.scoring.prdc import Balls
from bench.scoring.spaces import Spaces, flat
from denoisers.errors import UsageError
from denoisers.weights import home

VERSION = 1  # raise it when `Reference.null` changes
BALLS = 10_000  # training images that precision, recall, density and coverage are taken to, at most
CELLS, CELL_DIRECTIONS = 3, 64  # of C_T, as in the code of Meehan et al.
SEED = 20261120
SHIPPED = Path(__file__).parent / "shipped"  # what shipping.py made, as a cache would hold it


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """The training set as the target of quality, the held-out set as the null of memorization.

    Everything is made when first asked for; what takes more than seconds is kept in
    $BENCH_HOME/cache, or comes with the package.
    """

    dataset: Dataset
    extractor: Extractor
    say: Say = lambda line: None  # gets a line about what is kept and cannot be used
    crew: Crew = ALONE  # who shares what is found of every image by itself

    @property
    def device(self) -> str:
        """That all is computed on: the extractor's."""
        return self.extractor.device

    @functools.cached_property
    def spaces(self) -> Spaces:
        """What is found of every image by itself."""
        return Spaces(self.dataset, self.extractor, lambda: self.features, self.crew)

    @property
    def judges(self) -> tuple[str, str] | None:
        """The two classifiers that know the classes; None if there are none."""
        return self.spaces.judges

    @property
    def key(self) -> str:
        """Of the cache: what all that follows from both depends on."""
        return f"{self.dataset.digest}-{files.slug(self.extractor.name)}-{self.extractor.digest}"

    @property
    def features_key(self) -> str:
        """Of the features of the training set."""
        return f"features-{self.key}"

    @property
    def sums_key(self) -> str:
        """Of the half of KID that is theirs."""
        return f"sums-{fid_kid.VERSION}-{self.key}"

    @property
    def few_key(self) -> str:
        """What stands in keys where some training images stand for all; nothing for up to FEW of them."""
        return f"-of-{FEW}" * (len(self.dataset.train) > FEW)

    @property
    def cells_key(self) -> str:
        """Of the partition of the training set."""
        return f"cells-{VERSION}-{self.dataset.digest}{self.few_key}"

    @property
    def guard_key(self) -> str:
        """What stands in keys for the noise guard; nothing for that of digits, which was there first."""
        return "" if self.dataset.on_black else f"-blur{guard.BLUR}"

    @property
    def null_key(self) -> str:
        """Of the distances of held-out images."""
        judge = extractors.judge(self.judges[0]) if self.judges else catalogue.NO_JUDGE
        return f"null-{VERSION}-{nearest.VERSION}-{self.key}-{judge.replace('@', '-')}{self.guard_key}{self.few_key}"

    @functools.cached_property
    def features(self) -> np.ndarray:
        """Of the training set, float32 (M, d)."""

        def compute() -> dict[str, np.ndarray]:
            return {"features": self.spaces.embed_training()}

        return cached(self.features_key, compute, self.say)["features"]

    @functools.cached_property
    def kid(self) -> KidReference:
        """For `fid_kid.kid`."""
        scaled = fid_kid.scaled(self.features, standardised=self.extractor.standardised)

        def compute() -> dict[str, np.ndarray]:
            return {"row_sums": fid_kid.kernel_sums(scaled.features, self.device)}

        return KidReference(*scaled, **cached(self.sums_key, compute, self.say))

    @functools.cached_property
    def moments(self) -> Moments:
        """For `fid_kid.fid`."""
        return Moments.of(self.features, self.device)

    @functools.lru_cache(maxsize=2)  # noqa: B019 - a reference lives as long as the command
    def balls(self, n: int) -> Balls:
        """For `prdc.overlap`: as many training images as are scored, at most BALLS, drawn once for all."""
        order = np.random.default_rng(SEED).permutation(len(self.features))
        return Balls.of(self.features[order[: min(n, BALLS)]], self.device)

    @functools.cached_property
    def cells(self) -> np.ndarray:
        """Centres of the partition of the training images that C_T averages over, grey levels (CELLS, H W)."""

        def compute() -> dict[str, np.ndarray]:
            from sklearn.cluster import KMeans  # takes a third of a second to import

            few = slice(None, None, -(-len(self.dataset.train) // FEW))
            x = flat(self.dataset.train[few]).astype(np.float32)
            mean = x.mean(0)
            if x.shape[1] > nearest.WIDE:
                vectors = nearest.principal(torch.from_numpy(x), CELL_DIRECTIONS).numpy()
            else:  # as NumPy rounds it, which the cells of digits depend on
                vectors = np.linalg.eigh(np.cov((x - mean).T))[1][:, : -CELL_DIRECTIONS - 1 : -1]
            basis = vectors.astype(np.float32)
            found = KMeans(CELLS, n_init=3, random_state=0).fit((x - mean) @ basis)
            return {"basis": basis, "mean": mean, "centres": found.cluster_centers_}

        kept = cached(self.cells_key, compute, self.say)
        return kept["mean"] + kept["centres"] @ kept["basis"].T

    @functools.cached_property
    def null(self) -> dict[str, Distances]:
        """The distances of all held-out images, by space; shifts are left out, for what they cost."""

        def compute() -> dict[str, np.ndarray]:
            found = self.distances(self.dataset.held_out, shifts=False)
            return {
                f"{space}.{name}": value
                for space, distances in found.items()
                for name, value in vars(distances).items()
                if value is not None
            }

        kept = cached(self.null_key, compute, self.say)
        spaces: dict[str, dict[str, np.ndarray]] = {}
        for name, value in kept.items():
            space, field = name.split(".")
            spaces.setdefault(space, {})[field] = value
        return {space: Distances(**fields) for space, fields in spaces.items()}

    def distances(
        self,
        images: np.ndarray,
        *,
        classes: np.ndarray | None = None,
        found: np.ndarray | None = None,
        shifts: bool = True,
    ) -> dict[str, Distances]:
        """Of uint8 images, (N, H, W[, 3]), to the training set, by space; pixels in [0, 1].

        classes, found  predicted classes and features of the images, where they are known
        """
        if classes is None:
            classes = self.classes(images)
        at = self.spaces
        found = at.embed(images) if found is None else found
        pixels = at.near("pixels", flat(images), min(AROUND, len(self.dataset.train)))
        spaces = {
            "pixels": Distances(
                *(pixels.distance[:, :2].T / 255),
                classes,
                index=pixels.index[:, 0],
                around=pixels.distance.mean(1) / 255,
                lonely=at.lonely("pixels", pixels.index[:, 0]) / 255,
                cells=nearest.of_few(self.cells, flat(images)),
            )
        }
        if shifts:
            near = at.near_shifted(images)
            spaces["shifted"] = Distances(*(near.distance.T / 255), classes, index=near.index[:, 0])
        near = at.near("guarded", images, 2)
        spaces["guarded"] = Distances(*(near.distance.T / 255), classes, index=near.index[:, 0])
        near = at.near("features", found, 2)
        lonely = at.lonely("features", near.index[:, 0])
        spaces["features"] = Distances(
            *near.distance.T, classes, index=near.index[:, 0], lonely=lonely
        )
        return spaces

    def classes(self, images: np.ndarray) -> np.ndarray:
        """The class of each image according to the judge, int64 (N,); without one all are of one."""
        if self.judges is None:
            return np.zeros(len(images), np.int64)
        return self.spaces.classify(images, 0).argmax(1)

    def cosine(self, features: np.ndarray) -> np.ndarray:
        """The smallest cosine distance of features (N, d) to those of a training image, (N,): for MiFID."""
        near = self.spaces.near("directions", nearest.unit(features), 1)
        return np.square(near.distance[:, 0]) / 2


class References:
    """What images are scored against, by extractor: of a series of runs on one dataset, each made once.

    crew  who shares the work of those that are made from now on
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, self.crew = dataset, ALONE
        self.there: dict[tuple[str, str], Reference] = {}

    def of(self, extractor: Extractor, say: Say = lambda line: None) -> Reference:
        """The dataset through an extractor, on the device of that."""
        key = extractor.id, extractor.device
        if key not in self.there:
            self.there[key] = Reference(self.dataset, extractor, say, self.crew)
        return self.there[key]


def cached(
    key: str, compute: Callable[[], dict[str, np.ndarray]], say: Say = lambda line: None
) -> dict[str, np.ndarray]:
    """The arrays stored under `key`, in the package or in $BENCH_HOME/cache; if in neither, computed, and stored there.

    What is stored and not as it was written counts as missing. A cache that cannot be written costs
    time, never the run, and a line for each process: what is computed is computed once in it.
    """
    if key in UNKEPT:
        return UNKEPT[key]
    place, arrays = home(), None
    folder = place / "cache" if place else None
    for there in (SHIPPED, folder):
        if arrays is None and there is not None:
            # Something is in the way, which is said below.
            with contextlib.suppress(UsageError, OSError):
                arrays = files.read_back(there / f"{key}.npz", say, name=key)
    if arrays is None:
        arrays = compute()
        if reason := unwritten(folder, key, arrays):
            UNKEPT[key] = arrays
            if folder not in COMPLAINED:
                COMPLAINED.add(folder)
                what = f"what would be kept in {folder or 'a cache'} is computed each time"
                say(f"{reason}; {what} (BENCH_HOME chooses another place)")
    return arrays


def is_kept(key: str) -> bool:
    """Whether something is stored under `key`; what it is, is found when it is read."""
    place, name = home(), f"{key}.npz"
    stored = (SHIPPED / name).is_file() or bool(place and (place / "cache" / name).is_file())
    return key in UNKEPT or stored


UNKEPT: dict[str, dict[str, np.ndarray]] = {}  # what this process has computed and could not keep
COMPLAINED: set[Path | None] = set()  # folders of which that has been said


def unwritten(folder: Path | None, key: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Store arrays in the cache, or say why not."""
    if folder is None:
        return f"{files.whoami()} has no home directory"
    try:
        files.write_sealed(folder / f"{key}.npz", key, arrays, folder.parent)
    except (OSError, UsageError) as error:
        return str(error)
    return ""
