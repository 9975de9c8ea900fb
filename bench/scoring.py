"""From images to a scored run on disk: those that a run has generated, and those made elsewhere."""

import hashlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench import data, features, figures, files, imported, machine, protocol, score
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


def is_scored(run: Run, facts: dict[str, Any]) -> bool:
    """Whether the images have been scored as `facts` say; they may have been scored otherwise."""
    try:
        return bool(run.read_json(f"metrics-{facts['fingerprint']}.json"))
    except ValueError:
        return False


def finish(
    run: Run,
    images: np.ndarray,
    noise_std: np.ndarray,
    dataset: Dataset,
    extractor: Extractor,
    facts: dict[str, Any],
    say: Say,
) -> None:
    """Score uint8 images (N, H, W), write the sheets, and `metrics-<fingerprint>.json` last.

    facts  `scoring`, `fingerprint` and `table` as `protocol_of` gives them
    """
    second = features.load(features.second(extractor.name))
    scores, replicates, rows = score.score(
        images, noise_std, Reference(dataset, extractor), Reference(dataset, second), say
    )
    mark = facts["fingerprint"]
    run.write(f"per_sample-{mark}.csv", lambda file: rows.to_csv(file, index=False, float_format="%.6g"))
    run.write_npz(f"replicates-{mark}.npz", **{name: values.astype("f4") for name, values in replicates.items()})
    run.write("grid.png", lambda file: figures.grid(images, file))
    neighbours = dataset.train[rows["nearest"]]
    run.write("nearest.png", lambda file: figures.nearest(images, neighbours, rows["ratio"].to_numpy(), file))
    protocol_ = {key: facts[key] for key in ("scoring", "fingerprint", "table", "preprocessing")}
    run.update(status="finished", **protocol_)
    run.write_json(f"metrics-{mark}.json", {"schema_version": SCHEMA_VERSION, **protocol_, **scores})


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
    if num is not None and not protocol.LEAST <= num <= len(images):
        raise UsageError(f"must lie in {protocol.LEAST}..{len(images)}, the images in {path}; found {num}", "--num")
    images = images[:num]
    facts = {
        "kind": "images",
        "name": name or path.stem,
        "source": path.name,
        "digest": hashlib.sha256(images.tobytes()).hexdigest()[:16],
        "num": len(images),
        "dataset": dataset.id,
        **protocol_of(dataset, extractor, len(images), None),
        "versions": machine.versions(),
        "commit": machine.commit(),
        "argv": sys.argv[1:],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    run = Run(out / files.slug(facts["name"]) / f"images-n{len(images)}-{facts['digest'][:8]}")
    if run.readable and is_scored(run, facts):
        say(f"complete: {run.path}")
        return run, facts["fingerprint"]
    if not run.readable:
        run.begin(facts)
    noise_std = level(to_float(images, dataset.pad)).numpy()
    run.write_npz("samples.npz", arr_0=images[..., None], ids=np.arange(len(images)), noise_std=noise_std)
    finish(run, images, noise_std, dataset, extractor, facts, say)
    run.clear_chunks()
    return run, facts["fingerprint"]
