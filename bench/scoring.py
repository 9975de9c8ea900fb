"""From images to a scored run on disk: those that a run has generated, and those made elsewhere."""

import hashlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench import control_scores, data, features, figures, files, imported, machine, protocol, score
from bench.bounds import LEAST
from bench.data import Dataset, to_float
from bench.features import Extractor
from bench.noise import level
from bench.reference import Reference
from bench.runs import SCHEMA_VERSION, Run
from bench.score import Say
from denoisers.errors import UsageError


def protocol_of(dataset: Dataset, extractor: Extractor, num: int, sampler: dict[str, Any] | None) -> dict[str, Any]:
    """How images are scored, with the fingerprints of the protocol and of the table that they may stand in.

    sampler  how they were made; None if that is not ours to know. Images made elsewhere join every table of theirs.
    """
    second = features.load(features.second(extractor.name))
    rules = protocol.scoring(
        dataset.id,
        extractor.id,
        features.judge(),
        second=second.id,
        versions=score.VERSIONS,
        standardised=extractor.standardised,
    )
    table = protocol.table(num, rules)
    mark = table if sampler is None else protocol.fingerprint([sampler, rules])
    return {"scoring": rules, "fingerprint": mark, "table": table, "preprocessing": extractor.preprocessing}


def is_scored(run: Run, rules: dict[str, Any]) -> bool:
    """Whether the images have been scored by these `rules`; they may have been scored otherwise."""
    try:
        return bool(run.read_json(f"metrics-{rules['fingerprint']}.json"))
    except ValueError:
        return False


def circumstances() -> dict[str, Any]:
    """With what the images are scored, by which command, and when; those of the generation are in run.json."""
    return {
        "versions": machine.versions(),
        "commit": machine.commit(),
        "argv": sys.argv[1:],
        "scored": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def finish(
    run: Run,
    images: np.ndarray,
    noise_std: np.ndarray,
    dataset: Dataset,
    extractor: Extractor,
    rules: dict[str, Any],
    say: Say,
) -> None:
    """Score uint8 images (N, H, W), write the sheets, and `metrics-<fingerprint>.json` last.

    Whatever belongs to this scoring is in files of its fingerprint; all others are the same for every scoring.

    rules  as `protocol_of` gives them
    """
    second = features.load(features.second(extractor.name))
    against = Reference(dataset, extractor)
    controls = control_scores.measured(against, len(images), control_scores.names(len(images)), say)
    say("scoring")
    scores, replicates, rows = score.score(images, noise_std, against, Reference(dataset, second), controls)
    mark = rules["fingerprint"]
    run.write(f"per_sample-{mark}.csv", lambda file: rows.to_csv(file, index=False, float_format="%.6g"))
    run.write_npz(f"replicates-{mark}.npz", **{name: values.astype("f4") for name, values in replicates.items()})
    run.write("grid.png", lambda file: figures.grid(images, file))
    neighbours = dataset.train[rows["nearest"]]
    run.write("nearest.png", lambda file: figures.nearest(images, neighbours, rows["ratio"].to_numpy(), file))
    run.update(status="finished")
    run.write_json(f"metrics-{mark}.json", {"schema_version": SCHEMA_VERSION, **rules, **circumstances(), **scores})


def score_path(
    path: Path,
    *,
    name: str | None = None,
    num: int | None = None,
    dataset_name: str = "mnist",
    data_dir: Path | None = None,
    extractor_name: str = "lenet-a",
    extractor_weights: Path | None = None,
    device: str = "auto",
    out: Path = Path("results"),
    say: Say = lambda line: None,
) -> tuple[Run, str]:
    """Score images made elsewhere (see `imported.read`) into a run folder; at once if that has been done.

    Returns the run and the fingerprint that its scores are filed under.

    name  in tables and paths; the file's own by default
    num   the first so many images; all by default

    Raises LookupError (unknown name), FileNotFoundError, ValueError, OSError (`out`).
    """
    extractor = features.load(extractor_name, extractor_weights, machine.choose_device(device))
    machine.check_writable(out)
    dataset = data.load(dataset_name, data_dir)
    images = imported.read(path, dataset)
    if num is not None and not LEAST <= num <= len(images):
        raise UsageError(f"must lie in {LEAST}..{len(images)}, the images in {path}; found {num}", "--num")
    images = images[:num]
    facts = {
        "kind": "images",
        "name": name or path.stem,
        "source": path.name,
        "digest": hashlib.sha256(images.tobytes()).hexdigest()[:16],
        "num": len(images),
        "dataset": dataset.id,
    }
    rules = protocol_of(dataset, extractor, len(images), None)
    short = protocol.fingerprint([facts["digest"], dataset.id])  # nearest.png shows images of the dataset
    run = Run(out / files.slug(facts["name"]) / f"images-n{len(images)}-{short}")
    if run.readable and is_scored(run, rules):
        say(f"complete: {run.path}")
        return run, rules["fingerprint"]
    if not run.readable:
        run.begin(facts)
    noise_std = level(to_float(images, dataset.pad)).numpy()
    run.write_npz("samples.npz", arr_0=images[..., None], ids=np.arange(len(images)), noise_std=noise_std)
    finish(run, images, noise_std, dataset, extractor, rules, say)
    run.clear_chunks()
    return run, rules["fingerprint"]
