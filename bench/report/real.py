"""What plots show of the data set itself, where it is on this machine: nothing is downloaded for a report."""

from typing import NamedTuple

import numpy as np

from bench.report.collect import Entry


class Embedding(NamedTuple):
    """Points (n, 2) on a common map."""

    digits: np.ndarray
    centres: np.ndarray
    generated: dict[str, np.ndarray]


def held_out_distances(entries: list[Entry]) -> np.ndarray | None:
    """d1 of the held-out digits; None where it is not known."""
    return None


def embedded(entries: list[Entry]) -> Embedding | None:
    """A map of held-out digits and of the samples of each entry; None where the data set is not here."""
    return None
