"""Scores of the control sets: measured once for a number of images, kept in $BENCH_HOME/cache, and read from there.

A run measures held-out digits, the floor that its numbers stand beside; with MANY images it
measures all sets. They take longer than a small run, so a report that has smaller runs measures the
others when it is made.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import datasets
from bench.data.dataset import Dataset
from bench.files import Say
from bench.images import noise_std, to_float
from bench.progress import SILENT, Advance, Progress
from bench.runs import fingerprint
from bench.scoring import catalogue, control_sets, extractors, measure, reference
from bench.scoring.measure import Json
from bench.scoring.reference import Reference
from denoisers.errors import UsageError

HELD_OUT = "held_out"
MANY = 2000  # images, as the standard protocol has


def names(n: int, dataset: Dataset) -> tuple[str, ...]:
    """The control sets that are measured together with n images.

    Those of a dataset that a report cannot find again, as it has no name, are measured at once.
    """
    lasting = datasets.has_name(dataset.id)
    return tuple(control_sets.CONTROLS) if n >= MANY or not lasting else (HELD_OUT,)


def measured(
    against: Reference,
    n: int,
    names: Iterable[str],
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> dict[str, dict[str, Any]]:
    """Scores of control sets of n images by name, each measured unless it has been."""
    absent, scores = missing(against, n, names), {}
    advance: Advance = progress.stage("control sets", len(absent)) if absent else SILENT.stage("")
    for name in names:
        scores[name] = one(against, n, name, say)
        advance(name in absent)
    return scores


def missing(against: Reference, n: int, names: Iterable[str]) -> list[str]:
    """Those of the control sets of n images that have not been measured."""
    return [name for name in names if not reference.is_kept(key(against, n, name))]


def one(against: Reference, n: int, name: str, say: Say) -> dict[str, Any]:
    """Scores of one control set, as JSON."""

    def compute() -> dict[str, np.ndarray]:
        images = control_sets.CONTROLS[name](against.dataset, n)
        left = noise_std(to_float(images, against.dataset.pad)).numpy()
        if name == HELD_OUT:
            options: Json = {"searched": measure.held_back(n, len(against.dataset.held_out))}
        else:
            honest = one(against, n, HELD_OUT, say)
            options = {"searched": measure.SEARCHED, "bootstrap": False}
            options["typical"] = honest["scores"]["cosine_distance"]["value"]
            options["shifted"] = measure.copied_under_shifts(honest)
        scores = measure.measure(images, left, against, **options).to_json()
        return {"json": np.frombuffer(json.dumps(scores).encode(), np.uint8)}

    kept = reference.cached(key(against, n, name), compute, say)
    return json.loads(kept["json"].tobytes())


def key(against: Reference, n: int, name: str) -> str:
    """Of the cache: what the scores of a control set depend on."""
    judges = extractors.judges(against.dataset)
    scores = fingerprint([judges, *(spec.key for spec in catalogue.SCORES)])
    return f"panel-{measure.VERSIONS}-{scores}-{against.key}-{n}-{name}{against.guard_key}{against.few_key}"


def later(
    rules: Mapping[str, str],
    n: int,
    data_dir: Path | None = None,
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> dict[str, dict[str, Any]]:
    """The scores of all control sets for images that were scored by `rules`, for a report.

    Empty, and said, where they cannot be measured here: by another version, on data or with an
    extractor that are not at hand. Nothing is downloaded.
    """
    if rules.get("versions") != measure.VERSIONS:
        return {}
    try:
        against = Reference(
            dataset_of(rules["dataset"], data_dir), extractor_of(rules["features"]), say
        )
        if rules.get("judge") != extractors.judges(against.dataset):
            return {}
        return measured(against, n, control_sets.CONTROLS, say, progress)
    except UsageError as error:
        say(f"control sets of {n} images are not measured: {error}")
        return {}


def dataset_of(wanted: str, data_dir: Path | None) -> Dataset:
    """The data set with that name and digest, if it is on this machine.

    Raises UsageError if it is not.
    """
    dataset = datasets.at_hand(wanted, data_dir)
    if dataset is None:
        raise UsageError(f"{wanted} is not on this machine; say where it is", "--data-dir")
    return dataset


def extractor_of(wanted: str) -> extractors.Extractor:
    """The extractor with that name and digest, if it is a shipped one.

    Raises UsageError if it is not.
    """
    name = wanted.partition("@")[0]
    if name not in extractors.SHIPPED or (extractor := extractors.load(name)).id != wanted:
        raise UsageError(
            f"the extractor {wanted} is not at hand; `bench run` or `bench score` with it measures more"
        )
    return extractor
