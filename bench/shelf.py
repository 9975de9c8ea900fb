"""What the runs of a series have in common, loaded once: data, denoisers, what images are scored against."""

import copy
import functools
from pathlib import Path
from typing import Any

import denoisers
from bench.data import datasets
from bench.data.dataset import Dataset, ingredients
from bench.scoring.reference import References
from denoisers import registry
from denoisers.base import Denoiser

Key = tuple[str, str | None, tuple[tuple[str, str], ...]]


class Shelf:
    """A dataset, by the name and folder that `datasets.load` takes, and what was loaded for it.

    kept  whether denoisers are kept for further runs; what is handed out is then a copy, as a run
          changes its denoiser in place
    """

    def __init__(self, dataset: str, data_dir: Path | None, *, kept: bool = True) -> None:
        self.name, self.data_dir, self.kept = dataset, data_dir, kept
        self.denoisers: dict[Key, Denoiser] = {}

    @functools.cached_property
    def dataset(self) -> Dataset:
        """Loaded when it is first asked for. Raises UsageError, as `datasets.load` does."""
        return datasets.load(self.name, self.data_dir)

    @functools.cached_property
    def references(self) -> References:
        """What images are scored against."""
        return References(self.dataset)

    def denoiser(self, name: str, /, weights: str | None = None, **options: Any) -> Denoiser:
        """The denoiser of that name, as `denoisers.load` gives it; a splice is made of what is here."""
        if name.startswith(registry.SPLICE):
            return registry.load_splice(name, weights, load_part=self.denoiser, **options)
        key = name, weights, tuple(sorted(options.items()))
        if key in self.denoisers:
            return copy.deepcopy(self.denoisers[key])
        made_of = ingredients(lambda: self.dataset)
        loaded = denoisers.load(name, weights, **made_of, **options)
        # Code that is not ours may hold what cannot be copied.
        if self.kept and registry.built_in(name) and (kept := copied(loaded)):
            self.denoisers[key] = kept
        return loaded


def copied(denoiser: Denoiser) -> Denoiser | None:
    """One that may be changed; None of what cannot be copied, as code that is not ours may hold."""
    try:
        return copy.deepcopy(denoiser)
    except (TypeError, RuntimeError):
        return None
