"""What a run left beside its numbers: images, sheets, curves, bootstrap values; checked here."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench import arrays, files
from bench.reporting.results import pictures, rows
from bench.reporting.results.damage import Absent, noted
from bench.runs import Run
from bench.scoring import compare
from denoisers import reading
from denoisers.errors import UsageError

CHAINS = 2  # trajectories that are shown
MOST = 2**26  # bytes of all arrays of a file that is read whole: a hundred times what is usual
MEMBERS = 64  # arrays of such a file
LEVELS = 100  # of a trajectory; ours have 10


class Kept(NamedTuple):
    """The files of a run, or image set; None where there is none, or a damaged one.

    images      the first of them, uint8 (n, H, W), or (n, H, W, 3) in colour, as all that follow
    look        at these
    sheet       whether grid.png is one
    pairs       sample and nearest training image, the most alike first, uint8 (n, 2, H, W)
    mixed       the sheet of the least sure, uint8 (H, W)
    trace       columns sigma and what `drawings.PANELS` shows
    trajectory  sigma (levels,); forward, x, denoised uint8 (chains, levels, H, W)
    distances   one row per image: id, nearest, d1, ratio
    scored      values with their bootstrap values
    """

    images: np.ndarray | None = None
    look: pictures.Look | None = None
    sheet: bool = False
    pairs: np.ndarray | None = None
    mixed: np.ndarray | None = None
    trace: pd.DataFrame | None = None
    trajectory: Mapping[str, np.ndarray] | None = None
    distances: pd.DataFrame | None = None
    scored: compare.Scored | None = None


Lines = list[Absent]
Reader = Callable[[Path], Any]


def of_run(run: Run, where: str, folder: Path, absent: Lines) -> Kept:
    """The files that belong to the images; a line in `absent` for each that is damaged.

    where   of the run, as lines say it
    folder  of the report
    """
    readers = {
        "samples.npz": pictures.stored,
        "grid.png": pictures.drawn,
        "nearest.png": pictures.pairs,
        "mixed.png": pictures.captioned,
        "trace.csv": trace,
        "trajectory.npz": trajectory,
    }
    content = each(run, readers, where, folder, absent)
    images = content.get("samples.npz", content.get("grid.png"))
    return Kept(
        images=images,
        look=None if images is None else pictures.look(images),
        sheet="grid.png" in content,
        pairs=content.get("nearest.png"),
        mixed=content.get("mixed.png"),
        trace=content.get("trace.csv"),
        trajectory=content.get("trajectory.npz"),
    )


def of_scoring(
    run: Run,
    facts: dict[str, Any],
    metrics: dict[str, Any],
    where: str,
    folder: Path,
    absent: Lines,
) -> dict[str, Any]:
    """The fields of `Kept` that belong to one scoring of the images; as `of_run`."""
    mark = metrics["fingerprint"]
    readers = {
        (table := f"per_sample-{mark}.csv"): lambda path: rows.read(
            path, ("id", "nearest", "d1", "ratio")
        ),
        (values := f"replicates-{mark}.npz"): lambda path: scored(run, facts, metrics, path),
    }
    content = each(run, readers, where, folder, absent)
    return {"distances": content.get(table), "scored": content.get(values)}


def each(
    run: Run, readers: Mapping[str, Reader], where: str, folder: Path, absent: Lines
) -> dict[str, Any]:
    """What is in the files that are there and whole, by their names."""
    content = {}
    for name, read in readers.items():
        path = run.path / name
        if os.path.lexists(path):
            with noted(absent, f"{where}/{name}", folder):
                content[name] = read(path)
    return content


def trace(path: Path) -> pd.DataFrame:
    """The steps of a sampler at levels above 0, at least two. Raises UsageError."""
    table = rows.read(path, ("sigma",), some_numbers=("sigma_hat", "clipped", "autocorrelation"))
    table = table[table["sigma"] > 0]
    if len(table) < 2:
        raise UsageError(f"{path} has fewer than two steps")
    return table


def trajectory(path: Path) -> Mapping[str, np.ndarray]:
    """The first images on their way; see `Kept`. Raises UsageError."""
    named = whole(path)
    if missing := {"sigma", "forward", "x", "denoised"} - named.keys():
        raise UsageError(f"{path} lacks the arrays {', '.join(sorted(missing))}")
    sigma, *chains = (named[name] for name in ("sigma", "forward", "x", "denoised"))
    if not (sigma.ndim == 1 and sigma.dtype.kind == "f" and usual(sigma) and len(sigma)):
        raise UsageError(f"{path} has other noise levels than finite numbers")
    if len(sigma) > LEVELS or max(chains[1].shape[2:4], default=0) > pictures.WIDEST:
        raise UsageError(f"{path} has more levels or larger images than a page has room for")
    shape = chains[1].shape[1:]
    for array in chains:
        known = array.ndim == 4 or (array.ndim == 5 and array.shape[4] == 3)
        if array.dtype != np.uint8 or not known or array.shape[1:] != shape or not array.size:
            raise UsageError(
                f"{path} has {array.dtype} {array.shape}, expected uint8 (chains, levels, H, W[, 3])"
            )
    if shape[0] != len(sigma) or chains[1].shape != chains[2].shape:
        raise UsageError(f"{path} has arrays that do not fit each other")
    names = ("forward", "x", "denoised")
    return {"sigma": sigma} | {
        name: array[:CHAINS].copy() for name, array in zip(names, chains, strict=True)
    }


def scored(run: Run, facts: dict[str, Any], metrics: dict[str, Any], path: Path) -> compare.Scored:
    """A run with its bootstrap values, all of which are finite. Raises UsageError."""
    weigh(path)
    paired = compare.complete(run, facts, metrics)
    for name, value in paired.values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"{path} is of no use: no {name} was measured")
        drawn = paired.replicates[name]
        if drawn.ndim != 1 or len(drawn) < 2 or drawn.dtype.kind != "f" or not usual(drawn):
            raise UsageError(
                f"{path} has {drawn.dtype} {drawn.shape} for {name}, "
                "expected a row of finite numbers"
            )
    return paired


def whole(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a small npz. Raises UsageError."""
    weigh(path)
    return files.unpacked(path)


def weigh(path: Path) -> None:
    """Raise UsageError for an npz that holds more than the small files of a run do."""
    reading.regular(path, MOST)
    with arrays.opened(path) as archive:
        if len(archive) > MEMBERS:
            raise UsageError(f"{path} holds {len(archive)} arrays, expected {MEMBERS} at most")
        declared = [look() for look in archive.values()]
    size = sum(arrays.size(one) for one in declared)
    if size > MOST:
        held, most = reading.in_units(size), reading.in_units(MOST)
        raise UsageError(f"{path} declares {held}, expected {most} at most")


def usual(values: np.ndarray) -> bool:
    """Whether all are finite, and no larger than numbers here can be."""
    return bool((np.abs(values.astype(np.float64)) <= rows.LARGEST).all())
