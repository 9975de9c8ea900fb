"""A run on disk: its folder and its files, created, kept from others while one works on it, and removed.

Arrays and scores have a seal of their content, their name and their run; sheets and tables have
their digest in the scores. What is done about images is in samples.py.
"""

import contextlib
import dataclasses
import glob
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bench import files, folders, lease
from bench.files import Layout, Say
from denoisers import reading
from denoisers.errors import UsageError

SCHEMA_VERSION = 2
CHUNK = re.compile(r"(\d{6,18})-(\d{6,18})\.npz", re.ASCII)
GENERATION = "generation.json"


@dataclasses.dataclass(frozen=True)
class Run:
    """The folder of one run.

    within  the folder that the user named, `path` or one above it: no link below it is followed in
            writing
    """

    path: Path
    within: Path | None = dataclasses.field(default=None, compare=False)

    @property
    def root(self) -> Path:
        """The folder that the user named."""
        return self.within or self.path

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
    def fingerprints(self) -> list[str]:
        """Of the scoring protocols that it has been scored by."""
        return [name.removeprefix("metrics-").removesuffix(".json") for name in self.metrics]

    @contextlib.contextmanager
    def alone(self, say: Say) -> Iterator[None]:
        """Inside, no other process works on this run: one that does is named, and waited for.

        Raises UsageError if one of its folders is a link: see `denoisers.files`.
        """
        files.check_links(self.path / "chunks", self.root)

        def named(who: str) -> None:
            say(f"{self.path} is under way ({who}); waiting for it")

        with files.alone(self.path.with_name(f".{self.path.name[:200]}.lock"), named):
            yield

    @contextlib.contextmanager
    def part(self, name: str, say: Say) -> Iterator[None]:
        """Inside, no other process is at this part of the run, on whatever machine: see `lease`."""
        files.check_links(self.path / "chunks", self.root)

        def named(who: str) -> None:
            say(f"{name} of {self.path} is under way ({who}); waiting for it")

        files.make_folder(self.path.parent, self.root)
        slug = files.slug(name)
        with lease.lease(self.path.with_name(f".{self.path.name[:200]}.{slug}.part.lock"), named):
            yield

    def under_way(self) -> dict[str, Any]:
        """What `run.json` says of a run that has begun and has not failed; nothing of any other."""
        try:
            facts = self.read_json("run.json")
        except UsageError:
            return {}
        begun = facts.get("id") == self.id and facts.get("status") in ("started", "finished")
        return facts if begun else {}

    @property
    def joined(self) -> bool:
        """Whether the images are no more in chunks; whether they are as they were written, who reads them finds."""
        return (self.path / "samples.npz").exists()

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Create the folder and write `run.json` with status `started`; older numbers go, as they would look final.

        Raises OSError if the place cannot be written, UsageError for a file where a folder belongs,
        or the reverse.
        """
        files.make_folder(self.path / "chunks", self.root)
        for name in (*self.metrics, GENERATION):
            files.remove(self.path / name)
        self.write_json("run.json", self.begun(facts))

    def begun(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """What `run.json` begins with, and the facts."""
        return {"schema_version": SCHEMA_VERSION, "status": "started", "id": self.id, **facts}

    def update(self, **facts: Any) -> dict[str, Any]:
        """Change fields of `run.json`; all that it holds then."""
        whole = {**self.read_json("run.json"), **facts}
        self.write_json("run.json", whole)
        return whole

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the run.

        Raises UsageError, naming the file, if it is not readable or no object.
        """
        return reading.json_object(self.path / name)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Strict JSON: NaN and infinity raise ValueError."""
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        self.write(name, lambda file: file.write(text.encode()))

    def write_sealed_json(self, name: str, content: Mapping[str, Any]) -> None:
        """`write_json`, with a seal of the content, of its name and of this run."""
        text = files.sealed_json(self.seal(name), content)
        self.write(name, lambda file: file.write(text))

    def read_sealed_json(self, name: str) -> dict[str, Any]:
        """What `write_sealed_json` wrote. Raises UsageError, naming the file, if it is not that."""
        return files.json_back(self.path / name, self.seal(name))

    def seal(self, name: str) -> str:
        """What a file of the run is sealed as."""
        return f"{self.id} {name}"

    def write(self, name: str, fill: Callable[[BinaryIO], Any]) -> None:
        """Fill a file of the run."""
        files.write(self.path / name, fill, self.root)

    def write_npz(self, name: str, **arrays: np.ndarray) -> None:
        """Store arrays in a file of the run."""
        files.write_npz(self.path / name, self.root, **arrays)

    def write_sealed(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Store arrays in a file of the run, with a seal of them, of its name and of this run."""
        path = self.path / name
        files.write_sealed(path, self.seal(path.name), arrays, self.root)

    def read_npz(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of a file of the run, or None if it is missing or damaged."""
        return files.read_npz(self.path / name)

    def chunk_path(self, ids: range) -> Path:
        """Where the images `ids` wait until all are there."""
        return self.path / "chunks" / f"{ids.start:06d}-{ids.stop:06d}.npz"

    def write_chunk(self, ids: range, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the images `ids` until all are there, sealed as those of this run."""
        self.write_sealed(f"chunks/{self.chunk_path(ids).name}", arrays)

    def chunks_there(self, num: int) -> int:
        """How many of the images 0 .. num - 1 lie in chunks, by the names of these."""
        there: set[int] = set()
        there.update(*map(chunk_ids, self.path.glob("chunks/*.npz")))
        return len(there & set(range(num)))

    def read_chunks(
        self,
        num: int,
        layout: Callable[[range], Layout],
        say: Say,
        among: Sequence[range] | None = None,
    ) -> dict[range, dict[str, np.ndarray]]:
        """What `write_chunk` kept of the images 0 .. num - 1, in their order; of images that are kept twice one.

        layout  of the chunk of some ids. A line for each that is something else, or in another
                layout
        among   the images that are asked for; None for all
        """
        asked = [range(num)] if among is None else among
        kept: dict[range, dict[str, np.ndarray]] = {}
        end = 0
        for ids in sorted(
            map(chunk_ids, self.path.glob("chunks/*.npz")), key=lambda ids: (ids.start, ids.stop)
        ):
            wanted = any(ids.start < part.stop and part.start < ids.stop for part in asked)
            if wanted and end <= ids.start < ids.stop <= num:
                path = self.chunk_path(ids)
                chunk = files.read_back(path, say, name=self.seal(path.name), layout=layout(ids))
                if chunk is not None:
                    kept[ids], end = chunk, ids.stop
        return kept

    def clear_chunks(self) -> None:
        """Remove what `samples.npz` has made superfluous, nothing that is not ours, and what the dead have left."""
        name = glob.escape(self.path.name[:200])
        for path in self.path.parent.glob(f".{name}.*.part.lock"):
            with contextlib.suppress(OSError):
                if lease.is_stale(path):
                    files.remove(path)
        folder = self.path / "chunks"
        files.sweep(folder)
        for path in folder.glob("*.npz"):
            if CHUNK.fullmatch(path.name):
                files.remove(path)
        with contextlib.suppress(OSError):  # something else is in it, or it is not there
            folder.rmdir()

    def trace(self) -> str | None:
        """The text of `trace.csv`; None if it is not there, or no text."""
        try:
            return reading.content(self.path / "trace.csv").decode()
        except ValueError:
            return None

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
    "mixed.png",
    "trajectory.npz",
    GENERATION,
    "run.json",
)


def fingerprint(facts: Any) -> str:
    """Eight hexadecimal digits of the sha256 of `facts` as canonical JSON."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, allow_nan=False).encode()).hexdigest()[
        :8
    ]


def chunk_ids(path: Path) -> range:
    """The images whose chunk is called so; none if it is no name of a chunk."""
    name = CHUNK.fullmatch(path.name)
    return range(int(name[1]), int(name[2])) if name else range(0)


def find(folder: Path) -> list[Run]:
    """All runs below `folder`, in the order of their paths: every folder that holds a `run.json`.

    The runs of a study, below a folder that holds a `study.json`, are rows of its table and left
    out here.
    """
    below = folders.files(folder)
    studies = {path.parent for path in below if path.name == "study.json"} - {folder}
    folders_of_runs = (path.parent for path in below if path.name == "run.json")
    return [Run(path) for path in folders_of_runs if studies.isdisjoint(path.parents)]
