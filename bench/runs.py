"""A run on disk: created, resumed, finished, read back."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bench import files
from denoisers.errors import UsageError

SCHEMA_VERSION = 2


@dataclasses.dataclass(frozen=True)
class Run:
    """The folder of one run."""

    path: Path

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

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Create the folder and write `run.json` with status `started`; older numbers go, as they would look final.

        Raises PermissionError or another OSError if the place cannot be written.
        """
        (self.path / "chunks").mkdir(parents=True, exist_ok=True)
        for name in self.metrics:
            (self.path / name).unlink(missing_ok=True)
        self.write_json("run.json", {"schema_version": SCHEMA_VERSION, "status": "started", **facts})

    def update(self, **facts: Any) -> None:
        """Change fields of `run.json`."""
        self.write_json("run.json", {**self.read_json("run.json"), **facts})

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the run. Raises ValueError, naming the file, if it is not readable or no object."""
        try:
            content = json.loads((self.path / name).read_text())
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.path / name} is not readable: {error}") from None
        if not isinstance(content, dict):
            raise UsageError(f"{self.path / name} is not readable: expected an object, found {type(content).__name__}")
        return content

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

    def chunk_name(self, ids: range) -> str:
        """Where the images `ids` wait until all are there."""
        return f"chunks/{ids.start:06d}-{ids.stop:06d}.npz"

    def clear_chunks(self) -> None:
        """Remove what `samples.npz` has made superfluous."""
        shutil.rmtree(self.path / "chunks", ignore_errors=True)

    def remove(self) -> None:
        """Remove the run's own files, and the folder if nothing foreign is left in it."""
        self.clear_chunks()
        for pattern in FILES:
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)


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
    studies = {path.parent for path in folder.rglob("study.json")} - {folder}
    found = (path.parent for path in sorted(folder.rglob("run.json")))
    return [Run(path) for path in found if studies.isdisjoint(path.parents)]
