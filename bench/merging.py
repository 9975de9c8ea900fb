"""`bench merge`: the chunks of shards, wherever they were made, joined and scored; nothing is generated."""

from pathlib import Path
from typing import Any

import numpy as np

from bench import chunks, facts, machine, runs, samples
from bench.data import datasets
from bench.data.dataset import Dataset
from bench.files import Say
from bench.progress import SILENT, Progress
from bench.runs import Run
from bench.scoring import control_scores, extractors, record
from bench.scoring.reference import References
from denoisers.errors import UsageError, concerning

OWN = ("schema_version", "status", "id", "error")  # fields of run.json that a run sets as it begins


def merge(
    folder: Path,
    *,
    dataset_name: str | None = None,
    data_dir: Path | None = None,
    extractor_name: str | None = None,
    extractor_weights: Path | None = None,
    device: str = "auto",
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> list[tuple[Run, str]]:
    """Join and score the runs below a folder whose images are all there; with the fingerprints of their scores.

    dataset_name  what they are scored against, by the name that `datasets.load` takes; None for
                  that of `run.json`, which must have a name

    Raises UsageError if there is no such run, or none that is whole; where there are several, a line
    names those that are not.
    """
    device = machine.choose_device(device)
    with concerning("FOLDER"):
        waiting = [run for run in runs.find(folder) if is_waiting(run)]
        if not waiting:
            raise UsageError(f"{folder} holds no run whose images wait to be joined")
    merged: list[tuple[Run, str]] = []
    references: dict[str, References] = {}  # of each dataset once
    for run in waiting:
        try:
            with concerning("FOLDER"):
                said = read(run)
            wanted = str(said.get("dataset"))
            if wanted not in references:
                references[wanted] = References(dataset_of(wanted, dataset_name, data_dir))
            dataset = references[wanted].dataset
            extractor = extractors.suiting(dataset, extractor_name, extractor_weights, device)
            sampler = said["sampler"]
            rules = record.rules_of(dataset, extractor, sampler["num"], sampler)
            with run.alone(say), concerning("FOLDER"):
                images = joined(run, said, dataset, say)
                record.finish(run, images, references[wanted], extractor, rules, say, progress)
        except (UsageError, OSError) as error:
            if len(waiting) == 1:
                raise
            say(f"not merged: {error}")
        else:
            merged.append((run, rules.fingerprint))
    if not merged:
        raise UsageError(f"none of the {len(waiting)} runs in {folder} could be merged", "FOLDER")
    return merged


def is_waiting(run: Run) -> bool:
    """Whether a run has images that are not joined, or not scored."""
    return not run.complete and (run.joined or any((run.path / "chunks").glob("*.npz")))


def read(run: Run) -> dict[str, Any]:
    """`run.json`. Raises UsageError if it does not say how many images there are, and how they are sampled."""
    said = run.read_json("run.json")
    try:
        facts.check(said)
    except UsageError as error:
        raise UsageError(f"{run.path}: {error.message}") from None
    if not said.get("sampler"):
        raise UsageError(f"{run.path / 'run.json'} does not say how its images are sampled")
    return said


def dataset_of(wanted: str, name: str | None, data_dir: Path | None) -> Dataset:
    """The dataset that a run was begun for. Raises UsageError, naming the flag, if it is another, or not at hand."""
    if name is None:
        try:
            return control_scores.dataset_of(wanted, data_dir)
        except UsageError as error:
            raise UsageError(f"{error}; or name it with --dataset") from None
    dataset = datasets.load(name, data_dir)
    if dataset.id != wanted:
        raise UsageError(f"the images are of {wanted}; found {dataset.id}", "--dataset")
    return dataset


def joined(run: Run, said: dict[str, Any], dataset: Dataset, say: Say) -> dict[str, np.ndarray]:
    """The images of a run. Raises UsageError if some are missing, which its shards make."""

    def missing(line: str) -> None:
        say(line.replace("; made again", "; its images count as missing"))

    run.sweep()
    num, size = said["sampler"]["num"], dataset.train.shape[1:]
    if run.joined:
        images = samples.read(run, (num, *size), missing)
        if images is not None:
            return images
    there = chunks.on_disk(run, num, said["sampler"]["steps"], size, missing)
    if left := num - sum(map(len, there)):
        raise UsageError(
            f"{left} of {num} images of {run.path} are missing; "
            "the command that began it makes them, with --shard or without"
        )
    run.begin({key: value for key, value in said.items() if key not in OWN})
    return chunks.join(run, num, there)
