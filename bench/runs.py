"""A run on disk: created, resumed, finished, read back."""

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bench import files, folders
from bench.files import Layout, Say
from denoisers import reading
from denoisers.errors import UsageError

SCHEMA_VERSION = 2
CHUNK = re.compile(r"\d{6,}-\d{6,}\.npz")


@dataclasses.dataclass(frozen=True)
class Run:
    """The folder of one run."""

    path: Path

    @property
    def id(self) -> str:
        """What the folder is called, which ends in a digest of all that decides the images."""
        return self.path.name

    @property
    def complete(self) -> bool:
        """Whether it has been scored: a run's metrics are written last."""
        return bool(self.metrics)

    @property
    def metrics(self) -> list[str]:
        """Names of the files of scores, one per scoring protocol: metrics-<fingerprint>.json."""
        return sorted(path.name for path in self.path.glob("metrics-*.json"))

    @property
    def readable(self) -> bool:
        """Whether `run.json` can be read."""
        try:
            return bool(self.read_json("run.json"))
        except ValueError:
            return False

    @contextlib.contextmanager
    def alone(self, say: Say) -> Iterator[None]:
        """Inside, no other process works on this run: one that does is named, and waited for."""

        def named(who: str) -> None:
            say(f"{self.path} is under way ({who}); waiting for it")

        with files.alone(self.path.with_name(f".{self.path.name[:200]}.lock"), named):
            yield

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Create the folder and write `run.json` with status `started`; older numbers go, as they would look final.

        Raises OSError if the place cannot be written, UsageError for a file where a folder belongs, or the reverse.
        """
        files.make_folder(self.path / "chunks")
        for name in self.metrics:
            files.remove(self.path / name)
        begun = {"schema_version": SCHEMA_VERSION, "status": "started", "id": self.id}
        self.write_json("run.json", {**begun, **facts})

    def update(self, **facts: Any) -> dict[str, Any]:
        """Change fields of `run.json`; all that it holds then."""
        whole = {**self.read_json("run.json"), **facts}
        self.write_json("run.json", whole)
        return whole

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the run. Raises UsageError, naming the file, if it is not readable or no object."""
        return reading.json_object(self.path / name)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Strict JSON: NaN and infinity raise ValueError."""
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        self.write(name, lambda file: file.write(text.encode()))

    def write(self, name: str, fill: Callable[[BinaryIO], Any]) -> None:
        """Fill a file of the run."""
        files.write(self.path / name, fill)

    def write_npz(self, name: str, **arrays: np.ndarray) -> None:
        """Store arrays in a file of the run."""
        files.write_npz(self.path / name, **arrays)

    def read_npz(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of a file of the run, or None if it is missing or damaged."""
        return files.read_npz(self.path / name)

    def chunk_path(self, ids: range) -> Path:
        """Where the images `ids` wait until all are there."""
        return self.path / "chunks" / f"{ids.start:06d}-{ids.stop:06d}.npz"

    def write_chunk(self, ids: range, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the images `ids` until all are there, sealed as those of this run."""
        path = self.chunk_path(ids)
        files.write_sealed(path, f"{self.id} {path.name}", arrays)

    def read_chunk(self, ids: range, layout: Layout, say: Say) -> dict[str, np.ndarray] | None:
        """What `write_chunk` kept; None, and said, if it is not that, or not in this layout."""
        path = self.chunk_path(ids)
        return files.read_back(path, say, name=f"{self.id} {path.name}", layout=layout)

    def clear_chunks(self) -> None:
        """Remove what `samples.npz` has made superfluous, and nothing that is not ours."""
        folder = self.path / "chunks"
        files.sweep(folder)
        for path in folder.glob("*.npz"):
            if CHUNK.fullmatch(path.name):
                files.remove(path)
        with contextlib.suppress(OSError):  # something else is in it, or it is not there
            folder.rmdir()

    def write_samples(self, images: np.ndarray, noise_std: np.ndarray) -> dict[str, np.ndarray]:
        """uint8 images (N, H, W) and the noise left in each, (N,), into `samples.npz`; their digest into `run.json`."""
        samples = {"arr_0": images[..., None], "ids": np.arange(len(images)), "noise_std": noise_std}
        self.update(samples=files.digest(samples))  # first: without the file they are made again, whatever this says
        self.write_npz("samples.npz", **samples)
        return samples

    def read_samples(self, shape: tuple[int, int, int], say: Say) -> dict[str, np.ndarray] | None:
        """What `write_samples` wrote, images of this shape (N, H, W); None if they must be made, or made again.

        A line says why a file that is there is not used.
        """
        if not (self.path / "run.json").exists():
            return None
        try:
            facts = self.read_json("run.json")
        except UsageError as error:
            say(f"{error}; the run is made again")
            return None
        if facts.get("id", self.id) != self.id:
            say(f"{self.path / 'run.json'} does not fit (of the run {facts['id']}); the run is made again")
            return None
        layout = {"arr_0": ("uint8", (*shape, 1)), "ids": np.arange(shape[0]), "noise_std": ("float32", shape[:1])}
        samples = files.read_back(self.path / "samples.npz", say, layout=layout)
        if samples is not None and "samples" in facts and facts["samples"] != files.digest(samples):
            say(f"{self.path / 'samples.npz'} does not fit (not the images that run.json says); made again")
            return None
        return samples

    def sweep(self) -> None:
        """Remove what a process that died left half-written."""
        for folder in (self.path, self.path / "chunks"):
            files.sweep(folder)

    def remove(self) -> None:
        """Remove the run's own files. Raises UsageError for a folder in the place of one."""
        self.sweep()
        self.clear_chunks()
        for pattern in FILES:
            for path in self.path.glob(pattern):
                files.remove(path)


FILES = (  # the last to be written is the first to go
    "metrics-*.json",
    "replicates-*.npz",
    "per_sample-*.csv",
    "samples.npz",
    "trace.csv",
    "grid.png",
    "nearest.png",
    "trajectory.npz",
    "run.json",
)


def find(folder: Path) -> list[Run]:
    """All runs below `folder`, in the order of their paths: every folder that holds a `run.json`.

    The runs of a study, below a folder that holds a `study.json`, are rows of its table and left out here.
    """
    below = folders.files(folder)
    studies = {path.parent for path in below if path.name == "study.json"} - {folder}
    found = (path.parent for path in below if path.name == "run.json")
    return [Run(path) for path in found if studies.isdisjoint(path.parents)]
