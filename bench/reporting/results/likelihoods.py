"""What held-out digits cost under each denoiser: the files that `bench gauge --likelihood --out` kept."""

import dataclasses
from pathlib import Path

from bench import folders
from bench.reporting.results import damage, rows
from bench.reporting.results.damage import Absent
from bench.reporting.results.entries import Entry, Subject
from bench.scoring.schema import Score
from bench.scoring.uncertainty import Estimate
from denoisers.errors import UsageError

FOLDER = "likelihood"
ALL = "all"  # the row of all bands


def attach(entries: list[Entry], folder: Path, absent: list[Absent]) -> list[Entry]:
    """The entries, those with their bits per pixel whose denoiser was gauged on the same data below `folder`.

    absent  takes a line for each file that cannot be read
    """
    known = read(folder, absent)
    return [dataclasses.replace(entry, bits=known.get(entry.subject)) for entry in entries]


def read(folder: Path, absent: list[Absent]) -> dict[Subject, Score]:
    """Every likelihood below a folder; of one that is there twice, the one of more digits."""
    paths = [path for path in folders.files(folder) if path.parent.name == FOLDER]
    found: dict[Subject, Score] = {}
    for path in sorted(path for path in paths if path.suffix == ".csv"):
        with damage.noted(absent, path.relative_to(folder).as_posix(), folder):
            of, score = one(path)
            if of not in found or found[of].n < score.n:
                found[of] = score
    return found


def one(path: Path) -> tuple[Subject, Score]:
    """Of what it is, and the bits per pixel of all bands together. Raises UsageError."""
    words = ("grey levels", "denoiser", "dataset")
    frame = rows.read(path, ("bits", "stderr", "num"), words, some_words=("weights", "code"))
    whole = (
        frame[frame["grey levels"] == ALL].iloc[-1] if ALL in set(frame["grey levels"]) else None
    )
    if whole is None:
        raise UsageError(f"{path} has no row for all bands")
    weights, code = (whole[name] if name in frame else "" for name in ("weights", "code"))
    bits = Estimate(float(whole["bits"]), float(whole["stderr"]))
    score = Score(bits.value, bits.stderr, *bits.ci95, int(whole["num"]))
    return (whole["denoiser"], weights, whole["dataset"], code), score
