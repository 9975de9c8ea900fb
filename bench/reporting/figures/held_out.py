"""What plots show of the data set itself, where it is here: nothing is downloaded for a report.

The points are kept as CSV beside the figures drawn from them, and made again only when a run has
changed: most reports need neither the data set nor torch, whose imports therefore wait inside the
functions.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from bench import files
from bench.reporting.results import rows
from bench.reporting.results.entries import Entry
from denoisers.errors import UsageError

DISTANCES = 500  # images of known kind whose distance to the training set is drawn, of each kind
COPIES = "copies"  # controls whose names begin so are training digits, as they are and altered
DIGITS = 500  # held-out digits on the map
MAPPED = 5  # entries on the map
POINTS = 100  # of each
REAL = "held-out digits"
POINTS_KEPT = ("distances.csv", "embedding.csv")  # in the folder of figures


def known_distances(entries: list[Entry], path: Path) -> dict[str, np.ndarray]:
    """d1 of held-out digits, (n,), under REAL, and of each control of copies under its name.

    They are kept in `path`; nothing where their data set is not here.
    """
    named, columns = dataset_name(entries), (("d1",), ("dataset", "set"))
    kept = read(path, *columns)
    if kept is None or set(kept["dataset"]) != {named}:
        from bench.data import datasets

        digits = datasets.at_hand(named)
        if digits is None:
            return {}
        from bench.scoring.control_sets import CONTROLS
        from bench.scoring.nearest import Index
        from bench.scoring.spaces import flat

        sets = {REAL: digits.held_out[:DISTANCES]}
        for name, control in CONTROLS.items():
            if name.startswith(COPIES):
                sets[name] = control(digits, DISTANCES)
        index = Index.of(flat(digits.train))
        parts = [
            pd.DataFrame({"set": name, "d1": index.nearest(flat(images), 1).distance[:, 0] / 255})
            for name, images in sets.items()
        ]
        write(path, pd.concat(parts).assign(dataset=named))
        kept = read(path, *columns)
    return {str(name): part["d1"].to_numpy() for name, part in kept.groupby("set", sort=False)}


def embedded(entries: list[Entry], path: Path) -> pd.DataFrame | None:
    """A map of held-out digits and of samples of the first entries, kept in `path`.

    Columns set, digit, x, y: t-SNE of the features that suit the data set; `digit` is -1 for
    samples. None where the data set of `entries` is not here, or no entry has images.
    """
    shown = [
        (entry, entry.kept.images) for entry in entries[:MAPPED] if entry.kept.images is not None
    ]
    newest = max((entry.run.path.stat().st_mtime for entry, _ in shown), default=0)
    kept = points_in(path)
    names = {REAL, *(entry.name for entry, _ in shown)}
    if kept is not None and set(kept["set"]) == names and path.stat().st_mtime > newest:
        return kept
    if not shown:
        return None
    from bench.data import datasets

    digits = datasets.at_hand(dataset_name(entries))
    if digits is None:
        return None
    from sklearn.manifold import TSNE

    from bench.scoring import extractors

    size = digits.held_out.shape[1:]
    sets = {entry.name: images[:POINTS] for entry, images in shown if images.shape[1:] == size}
    if not sets:
        return None
    sets = {REAL: digits.held_out[:DIGITS]} | sets
    points = extractors.suiting(digits).features(np.concatenate(list(sets.values())))
    x, y = TSNE(init="pca", max_iter=500, random_state=0).fit_transform(points).T
    names = np.repeat(list(sets), [len(images) for images in sets.values()])
    labels = np.full(len(names), -1)
    labels[: len(sets[REAL])] = digits.held_out_labels[:DIGITS]
    placed = pd.DataFrame({"set": names, "digit": labels, "x": x, "y": y})
    write(path, placed)
    return points_in(path)


def dataset_name(entries: list[Entry]) -> str:
    """What the runs say they were trained and scored on, name@digest; empty if they do not."""
    return next((str(entry.facts["dataset"]) for entry in entries if "dataset" in entry.facts), "")


def points_in(path: Path) -> pd.DataFrame | None:
    """The map that was kept: columns set, digit, x, y; None if there is none."""
    kept = read(path, ("digit", "x", "y"), ("set",))
    return None if kept is None else kept.astype({"digit": int})


def read(path: Path, numbers: tuple[str, ...], words: tuple[str, ...]) -> pd.DataFrame | None:
    """What was kept; None if there is nothing, or something else."""
    try:
        return rows.read(path, numbers, words)
    except UsageError:
        return None


def write(path: Path, frame: pd.DataFrame) -> None:
    """Keep points, rounded: what is drawn is what is read back, the first time too. Raises OSError."""
    files.write(path, lambda file: frame.to_csv(file, index=False, float_format="%.4g"))
